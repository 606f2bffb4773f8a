package anycast

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/internal/scenario"
)

// TestScenarios replays testdata/*.txt; the commands are in world_test.go.
func TestScenarios(t *testing.T) {
	scenario.Run(t, func(t *testing.T) func(scenario.Command) string {
		w := newWorld(t)
		t.Cleanup(w.checkInvariants)
		return func(c scenario.Command) string {
			err := w.command(append([]string{c.Name}, c.Words...))
			printed := strings.Join(append(w.take(), ""), "\n")
			if err != nil {
				return c.Fatalf("%v, after\n%s", err, printed)
			}
			return printed
		}
	})
}

// seconds prints a moment of the scenario.
func seconds(d time.Duration) string { return fmt.Sprintf("%gs", d.Seconds()) }
