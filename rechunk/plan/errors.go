package plan

import "errors"

var (
	// ErrLimits says that Input.Limits are out of range.
	ErrLimits = errors.New("plan: limits out of range")
	// ErrInput says that the parts of an Input do not fit together: an unsorted tree, a missing parent directory, owners of
	// another tree.
	ErrInput = errors.New("plan: input does not fit together")
	// ErrNoRoom says that a tree cannot be laid out within the limits.
	ErrNoRoom = errors.New("plan: no layout within the limits")
	// ErrLayout says that a layout breaks the contract; Check wraps it.
	ErrLayout = errors.New("plan: layout breaks the contract")
)
