// Package chunkstore keeps content by its digest, and small mutable records, on one of distribution's storage drivers.
//
// Content is written through a [Writer] or with [Store.Put], becomes visible only when it is complete, verified and durable,
// and never changes afterwards. A record is a small document under a kind and a key, replaced as a whole by
// [Store.PutRecord]. A crash at any instant leaves the old state or the new one, never half of it; docs/store.md specifies
// the layout and why that holds.
//
// A Store is safe for concurrent use, and several processes may share one backend. It deletes nothing by itself, and it does
// not know who still needs what: whoever deletes content makes sure that nobody is about to rely on it, for which there are
// [Store.DeleteUnused] and [FreshFor].
//
// Errors wrap the sentinels of this package.
package chunkstore
