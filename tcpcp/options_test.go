package tcpcp

import "testing"

// optionsOf reads the options of a live socket.
func optionsOf(t testing.TB, fd int) Options {
	t.Helper()
	f := &Frozen{fd: fd}
	var err error
	if f.keepAlive, err = optKeepAlive.getBool(fd); err != nil {
		t.Fatal(err)
	}
	if f.userTimeout, err = optUserTimeout.get(fd); err != nil {
		t.Fatal(err)
	}
	var o Options
	if err := f.readOptions(&o); err != nil {
		t.Fatal(err)
	}
	mem, err := getMemory(fd)
	if err != nil {
		t.Fatal(err)
	}
	o.SendBuffer, o.ReceiveBuffer = mem.sendBuffer, mem.receiveBuffer
	return o
}
