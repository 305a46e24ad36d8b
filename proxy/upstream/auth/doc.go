// Package auth finds out what it takes to be let in by a registry, and does it: anonymous and user bearer tokens (the token
// specification of the distribution project), OAuth2 refresh tokens, basic authentication.
package auth
