// Package storetest checks that a storage driver can carry a chunkstore.Store, and has drivers that misbehave on demand.
//
// [Run] is the conformance suite: every driver and every decorator that the store is to be run on should pass it.
package storetest
