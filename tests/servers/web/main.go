// Command web is the net/http server of the tests: Go's own, unchanged, on a
// vanycast listener.
//
//	web -name REPLICA
//
// GET /who answers with the replica's name. GET /handoff answers, and then
// hands the connection to another replica, which gets the next request on it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os/signal"
	"syscall"

	"github.com/vanycast/vanycast"
)

func main() {
	name := flag.String("name", "", "of the replica")
	service := flag.String("service", "web", "name of the service")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ln, err := vanycast.Listen(ctx, *service)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /who", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, *name)
	})
	mux.HandleFunc("GET /handoff", func(w http.ResponseWriter, _ *http.Request) {
		if err := handOff(w, *name); err != nil {
			log.Print(err)
		}
	})
	server := &http.Server{Handler: mux}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// handOff takes the connection from net/http, answers the request by hand and
// gives the connection away. The next server starts with a new request, so
// nothing need go along.
func handOff(w http.ResponseWriter, name string) error {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	if n := buffered.Reader.Buffered(); n > 0 {
		return errors.Join(fmt.Errorf("%d bytes of another request came before the answer to this one", n), conn.Close())
	}
	body := "handing off from " + name + "\n"
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if _, err := conn.Write([]byte(answer)); err != nil {
		return errors.Join(err, conn.Close())
	}
	if err := handOffConn(conn); err != nil {
		return errors.Join(err, conn.Close())
	}
	return nil
}

func handOffConn(conn net.Conn) error {
	c, ok := conn.(*vanycast.Conn)
	if !ok {
		return fmt.Errorf("the connection is a %T", conn)
	}
	return c.HandoffAsync(netip.Addr{})
}
