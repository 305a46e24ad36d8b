package installed

import "fmt"

// Damaged returns an error that wraps ErrDamaged. The format and its arguments are those of fmt.Errorf.
func Damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}
