// Package esp is the IP Encapsulating Security Payload (RFC 4303): what stands
// between the IPv6 header and the payload, made and read in memory. It knows no
// addresses, no policy and does no I/O; that is package ipsec's.
//
//	   0                   1                   2                   3
//	+---------------------------------------------------------------+
//	|               Security Parameters Index (SPI)                 |
//	|                      Sequence Number                          |
//	|              initialisation vector (8 or 16)                  |
//	|  encrypted:  payload, padding 1 2 3 …, pad length, next header|
//	|              integrity check value (16)                       |
//	+---------------------------------------------------------------+
//
// A Cipher seals and opens with one key. A Sender gives it sequence numbers and
// initialisation vectors; a Receiver refuses what was there before. Sequence
// numbers have 32 bits: extended ones (RFC 4303 §2.2.1) are for traffic faster
// than signalling.
package esp
