package encoder_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/strata-oci/strata/proxy/edge/encoder"
	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// Plain bytes are wrapped by a program of the machine; nothing else can be asked of it.
func ExampleEncoders_Encode() {
	ctx := context.Background()
	encoders := encoder.New(ctx, encoder.Options{})
	gzip := wrap.Encoder{Program: "gzip", Version: "1.12", Args: []string{"-n", "-9"}} // what makes the same bytes will do
	var page bytes.Buffer
	err := encoders.Encode(ctx, gzip, strings.NewReader("NAME\n"), &page)
	fmt.Println(page.Len(), err)

	gzip.Args = []string{"/etc/passwd"}
	err = encoders.Encode(ctx, gzip, strings.NewReader(""), &page)
	fmt.Println(errors.Is(err, encoder.ErrArguments))
	// Output:
	// 25 <nil>
	// true
}
