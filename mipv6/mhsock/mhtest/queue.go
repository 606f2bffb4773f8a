package mhtest

import (
	"context"
	"net"
	"sync"
)

// queueRoom is how much a host takes before it loses packets.
const queueRoom = 1024

// queue is a bounded queue that can be closed.
type queue[T any] struct {
	items  chan T
	closed chan struct{}
	once   sync.Once
}

func newQueue[T any]() *queue[T] {
	return &queue[T]{items: make(chan T, queueRoom), closed: make(chan struct{})}
}

func (q *queue[T]) put(v T) {
	if q.isClosed() {
		return
	}
	select {
	case q.items <- v:
	default:
	}
}

func (q *queue[T]) get(ctx context.Context) (T, error) {
	var none T
	if q.isClosed() {
		return none, net.ErrClosed
	}
	select {
	case v := <-q.items:
		return v, nil
	case <-ctx.Done():
		return none, ctx.Err()
	case <-q.closed:
		return none, net.ErrClosed
	}
}

func (q *queue[T]) isClosed() bool {
	select {
	case <-q.closed:
		return true
	default:
		return false
	}
}

func (q *queue[T]) close() { q.once.Do(func() { close(q.closed) }) }
