package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/uml"
)

// xfrmStates is how many optimised flows are declared.
const xfrmStates = 10_000

// measureXFRM measures how fast package xfrm declares optimised flows, each one
// state and two policies of the kernel's, against iproute2, which reads them from
// a batch. It is the package's own benchmark, and runs in user-mode Linux, whose
// kernel has Mobile IPv6 wherever we are: system calls are slower there than on
// a kernel of its own, for both.
func measureXFRM(ctx context.Context, _ lab.TB, b *bench) error {
	root, err := cluster.Root()
	if err != nil {
		return err
	}
	boot, err := uml.Build(ctx, b.bin)
	if err != nil {
		return err
	}
	test, err := uml.BuildTest(ctx, b.bin, root, "./mipv6/xfrm")
	if err != nil {
		return err
	}
	var printed bytes.Buffer
	status, err := uml.Boot(ctx, uml.Config{
		Boot: boot, Show: root, Out: filepath.Join(root, "build", "bench-guest"), Console: &printed,
		Command: fmt.Sprintf("cd /tmp && %s -test.run='^$' -test.bench=States -test.benchtime=%dx -test.count=3", test, xfrmStates),
	})
	if err != nil {
		return err
	}
	plane, ip := perSecond(printed.Bytes(), "plane"), perSecond(printed.Bytes(), "ip")
	if status != 0 || len(plane) == 0 || len(ip) == 0 {
		_, _ = os.Stderr.Write(printed.Bytes())
		return fmt.Errorf("the benchmark in user-mode Linux: exit status %d", status)
	}
	b.results.add("xfrm_states_per_second", median(plane), "1/s", median(ip))
	return nil
}

// perSecond reads the rates of one benchmark out of what a test binary printed.
func perSecond(output []byte, name string) (rates []float64) {
	line := regexp.MustCompile(`(?m)^BenchmarkStates/` + name + `\b.*?([0-9.e+]+) states/s`)
	for _, m := range line.FindAllSubmatch(output, -1) {
		if rate, err := strconv.ParseFloat(string(m[1]), 64); err == nil {
			rates = append(rates, rate)
		}
	}
	return rates
}
