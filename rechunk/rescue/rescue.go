// Package rescue makes errors of panics. What parses bytes from outside in a goroutine of its own runs in Call: nobody above
// could recover from a panic there, and the process would end.
package rescue

import (
	"fmt"
	"runtime/debug"
)

// PanicError is a panic that was recovered from: a mistake of this program, which what it worked on has found.
type PanicError struct {
	Value any
	// Stack is that of the goroutine that panicked, as in runtime/debug, for the log.
	Stack []byte
}

// Error gives the value in one line.
func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// Unwrap returns the value if it is an error, such as a runtime.Error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Call returns what do returns, or a *PanicError when it panics.
func Call(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return do()
}
