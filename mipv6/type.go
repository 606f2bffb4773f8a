package mipv6

import "fmt"

// Type is an MH Type, the kind of a Mobility Header message (RFC 6275 §6.1.1).
type Type uint8

// The messages of RFC 6275 §6.1.2 to §6.1.9.
const (
	TypeBindingRefreshRequest  Type = 0
	TypeHomeTestInit           Type = 1
	TypeCareOfTestInit         Type = 2
	TypeHomeTest               Type = 3
	TypeCareOfTest             Type = 4
	TypeBindingUpdate          Type = 5
	TypeBindingAcknowledgement Type = 6
	TypeBindingError           Type = 7
)

// String is the message's name as RFC 6275 writes it.
func (t Type) String() string {
	switch t {
	case TypeBindingRefreshRequest:
		return "Binding Refresh Request"
	case TypeHomeTestInit:
		return "Home Test Init"
	case TypeCareOfTestInit:
		return "Care-of Test Init"
	case TypeHomeTest:
		return "Home Test"
	case TypeCareOfTest:
		return "Care-of Test"
	case TypeBindingUpdate:
		return "Binding Update"
	case TypeBindingAcknowledgement:
		return "Binding Acknowledgement"
	case TypeBindingError:
		return "Binding Error"
	}
	return fmt.Sprintf("MH type %d", uint8(t))
}

// newMessage makes an empty message of a type, nil for a type that RFC 6275
// does not define.
func newMessage(t Type) Message {
	switch t {
	case TypeBindingRefreshRequest:
		return new(BindingRefreshRequest)
	case TypeHomeTestInit:
		return new(HomeTestInit)
	case TypeCareOfTestInit:
		return new(CareOfTestInit)
	case TypeHomeTest:
		return new(HomeTest)
	case TypeCareOfTest:
		return new(CareOfTest)
	case TypeBindingUpdate:
		return new(BindingUpdate)
	case TypeBindingAcknowledgement:
		return new(BindingAcknowledgement)
	case TypeBindingError:
		return new(BindingError)
	}
	return nil
}
