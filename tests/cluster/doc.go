// Package cluster installs vanycast on the hosts of the standard laboratory
// (lab.Thesis) as a user would: it writes configuration files, makes
// certificates with vanyctl, starts the daemons and the servers from their
// binaries, and talks to them through the API's socket only. Nothing in here
// reaches into a program of ours.
package cluster
