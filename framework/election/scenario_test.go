package election

import (
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/internal/scenario"
)

// TestScenarios replays testdata/*.txt: replicas come and go, and the answers say
// what the home agent and the replicas' logs see of it.
func TestScenarios(t *testing.T) {
	scenario.Run(t, func(t *testing.T) func(scenario.Command) string {
		w := newWorld(1)
		return func(c scenario.Command) string {
			w.command(c)
			out := w.out
			w.out = nil
			if len(out) == 0 {
				return ""
			}
			return strings.Join(out, "\n") + "\n"
		}
	})
}

func (w *world) command(c scenario.Command) {
	switch c.Name {
	case "start": // processes
		for _, name := range c.Words {
			w.run(name)
		}
	case "kill": // processes: their hosts refuse connections
		for _, name := range c.Words {
			w.nodes[name].dead = true
		}
	case "hang": // hosts: nobody answers
		for _, name := range c.Words {
			w.nodes[name].hung = true
		}
	case "leave": // as on SIGTERM
		n := w.nodes[c.Words[0]]
		n.event(func(now time.Time) { w.print("%s: a successor is there: %v", n.name, n.core.leave(now)) })
	case "cut", "join": // the first from all others
		for _, other := range c.Words[1:] {
			w.cut(c.Words[0], other, c.Name == "cut")
		}
	case "advance":
		d, err := time.ParseDuration(c.Words[0])
		c.Check(err)
		w.advance(d)
	case "status":
		w.status()
	default:
		c.Unknown()
	}
}
