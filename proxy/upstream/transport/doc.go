// Package transport makes the connections to registries and to where these lead.
//
// A Host decides to which addresses and with which certificates a connection is made, how many requests run at once and
// how fast, how long an answer may take, and when a server that fails is left alone. It knows neither the registry's API
// nor credentials: whoever sends through it may put a round tripper in between that adds them.
package transport
