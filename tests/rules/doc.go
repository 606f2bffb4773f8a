// Package rules holds the rules of this repository as tests: formatting, a
// comment for every package, which package may import which (docs/
// architecture.md), and how long a file may be.
package rules
