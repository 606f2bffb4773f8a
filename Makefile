# Every target installs what it lacks (Debian packages) and says in one line
# what is missing if it cannot. All but build, demo and test-kernel need root.

GO      ?= go
BIN     := build/bin
TIMEOUT := 30m
FUZZ    ?= 60s
LAB     ?= vc

# cgo would only make the binaries depend on the C library of this machine.
export CGO_ENABLED = 0

.PHONY: all build demo lab lab-down test conformance kill bench generate fuzz clean

all: build

build: ## the programs, in build/bin
	@scripts/need go
	@mkdir -p $(BIN)
	$(GO) build -trimpath -o $(BIN)/ ./cmd/... ./examples/...

demo: ## the thesis's session, with telnet: on this kernel; without root in user-mode Linux
	@scripts/need go
	@mkdir -p $(BIN)
	@# A new machine has both to do, and they wait for different things.
	@$(GO) build -o $(BIN)/ ./tests/demo ./cmd/... ./examples/... & build=$$!; \
		scripts/need ip tcpdump tshark telnet setpriv $$([ $$(id -u) = 0 ] || echo linux.uml modprobe) && wait $$build
	@$(BIN)/demo

lab: ## leaves the demonstration's hosts up, to try by hand
	@scripts/need root go ip tcpdump tshark telnet setpriv
	@mkdir -p $(BIN)
	@$(GO) build -o $(BIN)/demo ./tests/demo
	@$(BIN)/demo -lab -prefix $(LAB)

lab-down: ## ends what make lab left
	@scripts/need root go ip
	@mkdir -p $(BIN)
	@$(GO) build -o $(BIN)/demo ./tests/demo
	@$(BIN)/demo -down

test: ## unit, scenario, laboratory and end to end: on this kernel, then on one with Mobile IPv6
	@scripts/need root go ip tc ping tcpdump tshark telnet setpriv curl wget apache2 iperf3 git strace linux.uml modprobe scapy
	$(GO) vet ./...
	$(GO) test -count=1 -timeout $(TIMEOUT) -p 2 -parallel 3 -skip '^TestKernel$$' ./...
	@# Alone, for its guests keep two processors busy; ten minutes.
	$(GO) test -count=1 -timeout 40m -run '^TestKernel$$' ./tests/uml

conformance: ## RFC 6275 case by case on the wire; rewrites docs/conformance.md
	@scripts/need root go ip scapy
	$(GO) test -count=1 -timeout $(TIMEOUT) ./tests/conformance -update
	@git --no-pager diff --stat -- docs/conformance.md

test-kernel: ## the part of test that needs a kernel with Mobile IPv6, on one that has it, without root; results in build/kernel
	@scripts/need go ip tc ping tcpdump tshark telnet setpriv linux.uml modprobe
	$(GO) test -timeout 40m -count 1 -v -run '^TestKernel$$' ./tests/uml

kill: ## daemons killed at random moments of handoffs, for longer than in test
	@scripts/need root go ip tcpdump tshark
	$(GO) test -count=1 -timeout $(TIMEOUT) -run '^TestKilledAtRandom$$' ./tests -kill.for=5m

bench: ## measurements, each against its reference; docs/benchmarks.md, build/bench.json
	@scripts/need root go ip ss iperf3 gcc setpriv curl apache2 linux.uml modprobe
	@mkdir -p $(BIN)
	@$(GO) build -o $(BIN)/bench ./tests/bench
	@$(BIN)/bench

generate: ## the eBPF objects that are committed
	@scripts/need go clang llvm-strip
	$(GO) generate ./mipv6/tcbpf

fuzz: ## every fuzz target, FUZZ (60s) each
	@scripts/need go
	@scripts/fuzz $(FUZZ)

clean:
	rm -rf build
