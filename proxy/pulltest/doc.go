// Package pulltest has the tests of pulls through all rooms, put together as a server has them, between a registry in
// memory and clients that ask the rooms directly.
package pulltest
