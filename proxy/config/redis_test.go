package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRedisProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"redis: {address: localhost}":                                   "c.yml:1:18: redis.address: is no address: write host:port",
		"redis: {address: 'redis://:hunter2@redis:6379'}":               "redis.address: is no address",
		"redis: {address: 'unix://redis.sock'}":                         "redis.address: names no socket",
		"redis: {password: hunter2}":                                    "redis.address: is missing",
		"redis: {address: r:1, password: hunter2, password_file: /p}":   "redis.password_file: is set together with password",
		"redis: {address: r:1, username: u}":                            "redis.username: is set without a password",
		"redis: {address: r:1, database: -1}":                           "redis.database: -1 is out of range",
		"redis: {address: r:1, prefix: '{a}'}":                          `redis.prefix: "{a}" is no prefix`,
		"redis: {address: r:1, tls: {ca_file: /ca}}":                    "redis.tls.enabled: is false",
		"redis: {address: r:1, tls: {enabled: true, cert_file: /cert}}": "redis.tls.cert_file: is set without key_file",
		"redirect: true": "redirect: needs a storage backend",
	} {
		_, _, err := parse("c.yml", []byte(text), nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestRedis(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("hunter2\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := parse("c.yml", []byte("redis: {tls: {enabled: true}}\nredirect: true\nstorage: {s3: {bucket: b}}\n"),
		[]string{"STRATA_REDIS_ADDRESS=redis:6379", "STRATA_REDIS_PASSWORD_FILE=" + file})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if got, err := c.Redis.ReadPassword(); got != "hunter2" || err != nil {
		t.Errorf("password %q, %v", got, err)
	}
	if encrypted, err := c.Redis.ClientTLS(); err != nil || encrypted == nil || encrypted.ServerName != "redis" {
		t.Errorf("%+v, %v", encrypted, err)
	}
	c.Redis.Password, c.Redis.PasswordFile = NewSecret("hunter3"), file+".missing"
	if text := fmt.Sprintf("%v %+v %#v", c.Redis, c.Redis, c.Redis); strings.Contains(text, "hunter3") {
		t.Errorf("the password shows: %s", text)
	}
	if _, err := c.Redis.ReadPassword(); err == nil || !strings.Contains(err.Error(), "redis.password_file") {
		t.Errorf("missing file: %v", err)
	}
	if Default().Redis.Enabled() {
		t.Error("there is a redis by default")
	}
}
