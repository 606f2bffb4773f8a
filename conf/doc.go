// Package conf reads the configuration of vanycastd: one TOML file, of the
// same shape for every role, into a Config whose values are typed, validated
// and complete (defaults are filled in).
//
// A mistake is never passed over: an unknown key, a wrong value, a missing
// section and a contradiction between two keys are all errors, each with file,
// line and key, and all of them are reported at once (see Errors). What only
// the host can know (does the interface exist, is the care-of address on it,
// can the certificate be read) is checked when the daemon starts, not here, so
// a configuration can be checked on another machine than it is for.
//
// docs/operations.md explains every key.
package conf
