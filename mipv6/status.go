package mipv6

import "fmt"

// Status is the outcome that a Binding Acknowledgement reports (RFC 6275
// §6.1.8). Values below 128 accept the binding.
type Status uint8

const (
	StatusAccepted                        Status = 0
	StatusPrefixDiscovery                 Status = 1 // accepted, but prefix discovery is necessary
	StatusReasonUnspecified               Status = 128
	StatusAdministrativelyProhibited      Status = 129
	StatusInsufficientResources           Status = 130
	StatusHomeRegistrationNotSupported    Status = 131
	StatusNotHomeSubnet                   Status = 132
	StatusNotHomeAgent                    Status = 133 // not home agent for this mobile node
	StatusDuplicateAddressDetectionFailed Status = 134
	StatusSequenceOutOfWindow             Status = 135
	StatusExpiredHomeNonce                Status = 136
	StatusExpiredCareOfNonce              Status = 137
	StatusExpiredNonces                   Status = 138
	StatusRegistrationTypeChange          Status = 139
	StatusInvalidCareOf                   Status = 174
)

// Statuses of registrations with a Binding Identifier (RFC 5648 §4.2).
const (
	StatusMultipleNotComplete           Status = 4   // accepted, but not every binding of the update
	StatusMultipleReturnHome            Status = 5   // accepted, without neighbour discovery for the home address
	StatusMultipleMalformed             Status = 164 // a Binding Identifier that is wrong
	StatusMultipleOtherExists           Status = 165 // a binding without Binding Identifier stands
	StatusMultipleProhibited            Status = 166
	StatusMultipleUnknownCareOf         Status = 167
	StatusMultipleBulkProhibited        Status = 168 // only one binding in an update
	StatusMultipleHomeAndAwayProhibited Status = 169 // H flag
)

// Accepted tells whether the binding was accepted.
func (s Status) Accepted() bool { return s < 128 }

// String is the status's meaning in the words of RFC 6275 §6.1.8.
func (s Status) String() string {
	switch s {
	case StatusAccepted:
		return "Binding Update accepted"
	case StatusPrefixDiscovery:
		return "accepted but prefix discovery necessary"
	case StatusReasonUnspecified:
		return "reason unspecified"
	case StatusAdministrativelyProhibited:
		return "administratively prohibited"
	case StatusInsufficientResources:
		return "insufficient resources"
	case StatusHomeRegistrationNotSupported:
		return "home registration not supported"
	case StatusNotHomeSubnet:
		return "not home subnet"
	case StatusNotHomeAgent:
		return "not home agent for this mobile node"
	case StatusDuplicateAddressDetectionFailed:
		return "duplicate address detection failed"
	case StatusSequenceOutOfWindow:
		return "sequence number out of window"
	case StatusExpiredHomeNonce:
		return "expired home nonce index"
	case StatusExpiredCareOfNonce:
		return "expired care-of nonce index"
	case StatusExpiredNonces:
		return "expired nonces"
	case StatusRegistrationTypeChange:
		return "registration type change disallowed"
	case StatusInvalidCareOf:
		return "invalid care-of address"
	case StatusMultipleNotComplete:
		return "not all care-of addresses registered"
	case StatusMultipleReturnHome:
		return "returned home without neighbor discovery"
	case StatusMultipleMalformed:
		return "binding identifier malformed"
	case StatusMultipleOtherExists:
		return "binding without binding identifier exists"
	case StatusMultipleProhibited:
		return "multiple care-of addresses prohibited"
	case StatusMultipleUnknownCareOf:
		return "unknown care-of address"
	case StatusMultipleBulkProhibited:
		return "bulk registration prohibited"
	case StatusMultipleHomeAndAwayProhibited:
		return "simultaneous home and foreign binding prohibited"
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// BindingErrorStatus is the reason of a Binding Error (RFC 6275 §6.1.9).
type BindingErrorStatus uint8

const (
	// UnknownBinding: a Home Address option without a binding.
	UnknownBinding BindingErrorStatus = 1
	// UnrecognizedMHType: a Mobility Header of an unknown MH Type.
	UnrecognizedMHType BindingErrorStatus = 2
)

// String is the status's meaning in the words of RFC 6275 §6.1.9.
func (s BindingErrorStatus) String() string {
	switch s {
	case UnknownBinding:
		return "unknown binding for Home Address destination option"
	case UnrecognizedMHType:
		return "unrecognized MH Type value"
	}
	return fmt.Sprintf("status %d", uint8(s))
}
