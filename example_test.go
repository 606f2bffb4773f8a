package vanycast_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"

	"github.com/vanycast/vanycast"
)

// A server of today changes one line: net.Listen becomes vanycast.Listen.
func ExampleListen() {
	defer startDaemons()() // vanycastd runs here

	ln, err := vanycast.Listen(context.Background(), "echo")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()

	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(client, "hello")
	line, _ := bufio.NewReader(client).ReadString('\n')
	fmt.Print(line)
	client.Close()
	// Output: hello
}

// net/http serves on it as it is.
func ExampleListen_http() {
	defer startDaemons()()

	ln, err := vanycast.Listen(context.Background(), "echo", vanycast.WithPolicy("local"))
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "you asked for %s\n", r.URL.Path)
	}))

	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://" + ln.Addr().String() + "/this")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(os.Stdout, resp.Body)
	// Output: you asked for /this
}

// A server counts a client's lines and hands the client over after each. The
// count travels as the state; what the client sent meanwhile travels too.
func ExampleConn_Handoff() {
	defer startDaemons()()

	serve := func(name string, conn *vanycast.Conn, next netip.Addr) {
		defer conn.Close() // does nothing after a handoff
		conn.SetState(append(conn.State(), '|'))
		for b := make([]byte, 1); b[0] != '\n'; { // not a byte more than this line
			if _, err := conn.Read(b); err != nil {
				return
			}
		}
		fmt.Fprintf(conn, "%s at %s\n", conn.State(), name)
		if err := conn.Handoff(context.Background(), next); err != nil {
			fmt.Fprintln(conn, "you stay here:", err)
		}
	}
	replica := func(name string, next netip.Addr) net.Addr {
		ln, err := vanycast.Listen(context.Background(), "echo", vanycast.WithSocket(socketOf(name)))
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			for {
				conn, err := ln.AcceptConn()
				if err != nil {
					return
				}
				go serve(name, conn, next)
			}
		}()
		return ln.Addr()
	}
	at := replica("glass", reich)
	replica("reich", glass)

	client, err := net.Dial("tcp", at.String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Fprint(client, "one\ntwo\nthree\n")
	answers := bufio.NewReader(client)
	for range 3 {
		line, _ := answers.ReadString('\n')
		fmt.Print(line)
	}
	// Output:
	// | at glass
	// || at reich
	// ||| at glass
}
