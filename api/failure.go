package api

import (
	"context"
	"errors"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/framework"
	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/tcpcp"
)

// reasons tells the code of an error; the first that fits counts.
var reasons = []struct {
	err  error
	code wire.Code
}{
	{handoff.ErrGone, wire.CodeGone},
	{handoff.ErrNoMobileIPv6, wire.CodeNoMobileIPv6},
	{framework.ErrFinished, wire.CodeFinished},
	{framework.ErrShared, wire.CodeShared},
	{handoff.ErrBusy, wire.CodeShared},
	{framework.ErrNoTarget, wire.CodeNoTarget},
	{framework.ErrUnknownReplica, wire.CodeUnknownReplica},
	{framework.ErrUnknownClient, wire.CodeUnknownClient},
	{framework.ErrNotAsked, wire.CodeNotAsked},
	{framework.ErrNotAdoptable, wire.CodeNotAdoptable},
	{framework.ErrClosed, wire.CodeClosed},
	{handoff.ErrClosed, wire.CodeClosed},
	{context.Canceled, wire.CodeCanceled},
}

// maxText bounds the words of a failure, in bytes: they must fit a message.
const maxText = 2 << 10

// failure makes an error fit for the wire.
func failure(err error) *wire.Failure {
	f := &wire.Failure{Code: wire.CodeFailed, Text: err.Error()}
	if len(f.Text) > maxText {
		f.Text = f.Text[:maxText]
	}
	var h *framework.HandoffError
	if errors.As(err, &h) {
		f.Target = h.Target
		f.Code = wire.CodeUnreachable // unless something else is known
	}
	var local *tcpcp.Error
	if errors.As(err, &local) {
		f.Code = wire.CodeFailed
	}
	var refused *handoff.RefusedError
	if errors.As(err, &refused) {
		f.Code = wire.CodeRefused
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			f.Code = r.code
			break
		}
	}
	return f
}
