package mipv6

import "fmt"

// FlowStatus is what became of a flow binding (RFC 6089 §4.2). Values below 128
// accept it.
type FlowStatus uint8

const (
	FlowAccepted                   FlowStatus = 0
	FlowAdministrativelyProhibited FlowStatus = 128
	FlowReasonUnspecified          FlowStatus = 129
	FlowMalformed                  FlowStatus = 130
	FlowUnknownBinding             FlowStatus = 131 // BID not found
	FlowUnknown                    FlowStatus = 132 // FID not found
	FlowSelectorNotSupported       FlowStatus = 133
)

// Accepted tells whether the flow binding was accepted.
func (s FlowStatus) Accepted() bool { return s < 128 }

// String is the status's meaning in the words of RFC 6089.
func (s FlowStatus) String() string {
	switch s {
	case FlowAccepted:
		return "flow binding successful"
	case FlowAdministrativelyProhibited:
		return "administratively prohibited"
	case FlowReasonUnspecified:
		return "flow binding rejected, reason unspecified"
	case FlowMalformed:
		return "flow identification mobility option malformed"
	case FlowUnknownBinding:
		return "BID not found"
	case FlowUnknown:
		return "FID not found"
	case FlowSelectorNotSupported:
		return "traffic selector format not supported"
	}
	return fmt.Sprintf("flow status %d", uint8(s))
}
