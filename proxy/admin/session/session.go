// Package session lets a browser stay logged in to the operators' listener, and tells the forms of its own pages from those
// of others.
//
// A session's cookie is the browser's Authorization header, sealed with a key that this process alone has (AES-GCM). So
// there is nothing to store and nothing to bound, a token that is changed ends the sessions that it began, and what checks a
// login checks a session. Sessions end with the process.
package session

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// Lifetime is how long a session lasts.
	Lifetime = 12 * time.Hour
	// maxEnded bounds the sessions that were ended by hand and are remembered until their time is over.
	maxEnded = 1000
	// maxAuthorization bounds what a session stands for, in bytes: browsers drop cookies of more than 4 KiB.
	maxAuthorization = 2048
)

// ErrTooLong says that a login is longer than a cookie can hold.
var ErrTooLong = errors.New("the login is too long for a cookie")

// Sessions are those of one listener. They are safe for concurrent use.
type Sessions struct {
	seal cipher.AEAD
	key  []byte // of the forms' tokens
	now  func() time.Time

	mu    sync.Mutex
	ended map[[sha256.Size]byte]time.Time // until when a cookie that was ended would have lasted
}

// New returns sessions with keys of their own; now is the clock.
func New(now func() time.Time) *Sessions {
	key := make([]byte, 32+sha256.Size)
	_, _ = rand.Read(key)                          // which never fails
	block, _ := aes.NewCipher(key[:32])            // fails for other lengths only
	seal, _ := cipher.NewGCMWithRandomNonce(block) // fails for other ciphers only
	return &Sessions{seal: seal, key: key[32:], now: now, ended: map[[sha256.Size]byte]time.Time{}}
}

// Begin sets the cookie of a browser whose login, an Authorization header, was found to be good.
func (s *Sessions) Begin(w http.ResponseWriter, r *http.Request, authorization string) error {
	if len(authorization) > maxAuthorization {
		return ErrTooLong
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(s.now().Add(Lifetime).Unix()))
	sealed := s.seal.Seal(nil, nil, append(plain, authorization...), []byte(cookieName(r)))
	http.SetCookie(w, cookie(r, base64.RawURLEncoding.EncodeToString(sealed), int(Lifetime.Seconds())))
	return nil
}

// Restore gives a request with the cookie of a session the login that it was begun with. Others are returned as they are; a
// header that was sent counts more.
func (s *Sessions) Restore(r *http.Request) *http.Request {
	value, ok := sent(r)
	if !ok || r.Header.Get("Authorization") != "" {
		return r
	}
	authorization, _, ok := s.open(r, value)
	if !ok {
		return r
	}
	r = r.Clone(context.WithValue(r.Context(), restoredKey{}, true))
	r.Header.Set("Authorization", authorization)
	return r
}

type restoredKey struct{}

// Restored reports whether the login of a request is its session's.
func Restored(r *http.Request) bool {
	restored, _ := r.Context().Value(restoredKey{}).(bool)
	return restored
}

// End ends the session of a request, if it has one.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request) {
	if value, ok := sent(r); ok {
		if _, until, ok := s.open(r, value); ok {
			s.forget(value, until)
		}
	}
	http.SetCookie(w, cookie(r, "", -1))
}

// Has reports whether a request comes with the cookie of a session that goes on.
func (s *Sessions) Has(r *http.Request) bool {
	value, ok := sent(r)
	if ok {
		_, _, ok = s.open(r, value)
	}
	return ok
}

// Token is what a form has to send along when it is shown to who sent r.
func (s *Sessions) Token(r *http.Request) string {
	mac := hmac.New(sha256.New, s.key)
	whom, ok := sent(r)
	if !ok {
		whom = r.Header.Get("Authorization")
	}
	_, _ = mac.Write([]byte(whom))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Owns reports whether a token is that of a form which was shown to who sent r.
func (s *Sessions) Owns(r *http.Request, token string) bool {
	return hmac.Equal([]byte(token), []byte(s.Token(r)))
}

// open returns what a cookie stands for and until when, if it was made here and its time is not over.
func (s *Sessions) open(r *http.Request, value string) (authorization string, until time.Time, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return "", until, false
	}
	plain, err := s.seal.Open(nil, nil, sealed, []byte(cookieName(r)))
	if err != nil || len(plain) < 8 {
		return "", until, false
	}
	until = time.Unix(int64(binary.BigEndian.Uint64(plain)), 0)
	s.mu.Lock()
	_, over := s.ended[sha256.Sum256([]byte(value))]
	s.mu.Unlock()
	return string(plain[8:]), until, !over && s.now().Before(until)
}

// forget remembers that a session was ended. Of too many the one goes that would have ended first.
func (s *Sessions) forget(value string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first [sha256.Size]byte
	for id, end := range s.ended {
		switch {
		case !s.now().Before(end):
			delete(s.ended, id)
		case s.ended[first].IsZero() || end.Before(s.ended[first]):
			first = id
		}
	}
	if len(s.ended) >= maxEnded {
		delete(s.ended, first)
	}
	s.ended[sha256.Sum256([]byte(value))] = until
}

// cookieName tells apart the listeners of one host, which share its cookies whatever their ports are. Over TLS browsers let
// nobody else set it.
func cookieName(r *http.Request) string {
	name := "strata"
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			name += "-" + strconv.FormatUint(n, 10)
		}
	}
	if r.TLS != nil {
		return "__Host-" + name
	}
	return name
}

func cookie(r *http.Request, value string, age int) *http.Cookie {
	// Lax, so that a link to a page that somebody sent leads there; nothing is changed by following links.
	return &http.Cookie{Name: cookieName(r), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: r.TLS != nil,
		SameSite: http.SameSiteLaxMode}
}

func sent(r *http.Request) (value string, ok bool) {
	c, err := r.Cookie(cookieName(r))
	if err != nil || c.Value == "" {
		return "", false
	}
	return c.Value, true
}
