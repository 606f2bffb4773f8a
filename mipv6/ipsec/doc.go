// Package ipsec protects what a replica and its home agent say to each other by
// ESP, as RFC 3776 and RFC 4877 want it: the security policy for Mobility Headers,
// the security associations of a pair, and a mhsock.Conn that applies both. It
// does ESP itself (Conn), or has a kernel do it (Kernel, KernelConn); on the wire
// they are the same.
//
//	replica → home agent  Binding Update           transport mode
//	home agent → replica  Binding Acknowledgement  transport mode
//	replica → client      Mobility Headers         tunnel mode, care-of address to home agent
//	client → replica      Mobility Headers         tunnel mode, home agent to care-of address
//
// On the wire (RFC 3776 §3.1, §3.3):
//
//	IPv6 (care-of, home agent) | Home Address option | ESP | Binding Update
//	IPv6 (home agent, care-of) | type 2 routing header | ESP | Binding Acknowledgement
//	IPv6 (care-of, home agent) | ESP | IPv6 (contact, client) | Home Test Init
//	IPv6 (home agent, care-of) | ESP | IPv6 (client, contact) | Home Test
//
// A Pair is a contact address, one replica that may be its contact node, and the
// home agent. Each pair has associations of its own, so that one replica can be
// shut out without the others. What a pair's keys protect is bound to the pair:
// a packet that opens with the keys of one replica is no word of another.
//
// Keys are manual: they come out of a file, and two ends have the same. They come
// in generations, numbered, each with all four associations. A roll adds one
// without a packet lost:
//
//  1. the home agent makes it and can receive it (Endpoint.Roll);
//  2. the replica gets it, can receive it, and sends with nothing else
//     (Endpoint.Install);
//  3. the home agent hears it, and sends with nothing else;
//  4. each end forgets the older ones Linger after it first heard the new.
//
// Manual keys live as long as the file, so sequence numbers must outlive the
// process: with AES-GCM a number used twice gives the key away (RFC 4106 §3.1),
// and the other end takes none that it has seen. Store keeps them; numbers are
// reserved there in blocks before the first of a block is used.
//
// Endpoint has no I/O but Store's and Kernel's; Conn and KernelConn are the loops
// around it.
package ipsec
