// Package keylock has locks by name: who waits, waits for who has the same name and for nobody else, however long that
// takes.
package keylock

import "sync"

// Locks are as many locks as there are names in use. The zero value is ready. It is safe for concurrent use.
type Locks struct {
	mu    sync.Mutex
	locks map[string]*lock
}

// lock is that of one name; users counts who holds or awaits it.
type lock struct {
	sync.Mutex
	users int
}

// Lock waits for a name and returns what gives it back, which is called once.
func (l *Locks) Lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.locks == nil {
		l.locks = map[string]*lock{}
	}
	one := l.locks[name]
	if one == nil {
		one = &lock{}
		l.locks[name] = one
	}
	one.users++
	l.mu.Unlock()
	one.Lock()
	return func() {
		one.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(l.locks, name)
		}
	}
}
