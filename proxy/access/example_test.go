package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/crypto/bcrypt"

	"github.com/strata-oci/strata/proxy/access"
)

// Passwords are checked against a file of bcrypt hashes, as htpasswd -B writes it.
func ExamplePasswords() {
	hash, err := bcrypt.GenerateFromPassword([]byte("wonder"), bcrypt.MinCost)
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := os.CreateTemp("", "htpasswd-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(file.Name())
	fmt.Fprintf(file, "alice:%s\n", hash)
	if err := file.Close(); err != nil {
		fmt.Println(err)
		return
	}
	passwords, err := access.NewPasswords(file.Name(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	from := netip.MustParseAddr("192.0.2.7")
	fmt.Println(passwords.Check(context.Background(), "alice", "wonder", from))
	fmt.Println(errors.Is(passwords.Check(context.Background(), "alice", "guess", from), access.ErrDenied))
	// Output:
	// <nil>
	// true
}
