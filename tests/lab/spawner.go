package lab

import (
	"os/exec"
	"runtime"
)

// spawner starts all processes of a laboratory from one thread that lives as
// long as the laboratory. The kernel's "kill my child when I die" (Pdeathsig)
// looks at the parent's thread, not at its process: a thread of the Go runtime
// may end at any time, this one only with us.
type spawner struct {
	requests chan func()
	stopped  chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan func()), stopped: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer close(s.stopped)
		for f := range s.requests {
			f()
		}
		// Never unlocked: the thread ends here.
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.requests <- func() { result <- cmd.Start() }
	return <-result
}

func (s *spawner) stop() {
	close(s.requests)
	<-s.stopped
}
