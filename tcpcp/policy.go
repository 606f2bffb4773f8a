package tcpcp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// XFRM's numbers (linux/xfrm.h). A policy on the socket itself is seen by
// nobody else and dies with the socket.
const (
	xfrmPolicyIn    = 0
	xfrmPolicyOut   = 1
	xfrmPolicyBlock = 1

	// struct xfrm_userpolicy_info and the fields that are not zero.
	sizeofPolicy        = 168
	policyFamily        = 40 // sel.family, after two addresses and two ports with masks
	policyLimits        = 56 // lft: four limits on bytes and packets, four on seconds (0: none)
	policyDir           = 160
	policyAction        = 161
	xfrmInfinite uint64 = 1<<64 - 1
)

var optXFRMPolicy = sockopt{unix.IPPROTO_IPV6, unix.IPV6_XFRM_POLICY, "IPV6_XFRM_POLICY"}

// block drops every packet of the socket in one direction.
func block(fd int, direction byte) error {
	var p [sizeofPolicy]byte
	binary.NativeEndian.PutUint16(p[policyFamily:], unix.AF_INET6)
	for i := range 4 {
		binary.NativeEndian.PutUint64(p[policyLimits+8*i:], xfrmInfinite)
	}
	p[policyDir] = direction
	p[policyAction] = xfrmPolicyBlock
	return optXFRMPolicy.setBytes(fd, p[:])
}

// unblock removes the socket's policies of both directions (Linux 4.13).
func unblock(fd int) error { return optXFRMPolicy.setBytes(fd, nil) }
