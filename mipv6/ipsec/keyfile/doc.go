// Package keyfile keeps the keys of a pair of replica and home agent in a file,
// and beside it, in FILE.state, the sequence numbers that were used with them.
//
// The file is the same at both ends:
//
//	[[generation]]
//	number    = 1
//	algorithm = "aes-gcm"
//	bu   = { spi = 0x1a2b3c4d, key = "…" }   # transport mode, to the home agent
//	ba   = { spi = 0x2b3c4d5e, key = "…" }   # transport mode, to the replica
//	hoti = { spi = 0x3c4d5e6f, key = "…" }   # tunnel mode, to the home agent
//	hot  = { spi = 0x4d5e6f70, key = "…" }   # tunnel mode, to the replica
//
// Keys are hexadecimal: the AES key and what the algorithm wants with it. Only
// the owner, the daemon's user or root, may be able to read or write the file; one
// that others can get at is not used. The daemon rewrites it when keys are rolled,
// so comments do not last. The state file is the daemon's own: a key file must
// not be copied back from before a roll, nor its state be deleted, for sequence
// numbers that come twice with AES-GCM give the key away.
package keyfile
