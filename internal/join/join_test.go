package join_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/internal/join"
)

func invitation(address string) join.Invitation {
	i := join.Invitation{Address: address, Token: join.NewToken()}
	for n := range i.Pin {
		i.Pin[n] = byte(n * 7)
	}
	return i
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	for _, address := range []string{"10.0.0.5:9901", "collector.example:1", "[fe80::1%eth0]:9901", "a-b_c:65535"} {
		i := invitation(address)
		got, err := join.Parse(" " + i.Text() + "\n")
		if err != nil || got != i {
			t.Errorf("%s: %v, error %v", address, got, err)
		}
		if strings.ContainsAny(i.Text(), " \t'\"\\$&|;<>()*?!#~`{}") {
			t.Errorf("%s needs quotes", i.Text())
		}
	}
}

func TestTheSecretIsNotShown(t *testing.T) {
	i := invitation("10.0.0.5:9901")
	secret := strings.Split(i.Text(), ".")[1]
	for _, shown := range []string{i.String(), fmt.Sprint(i), fmt.Sprintf("%v %+v %#v %s", i, i, i, i), fmt.Sprintf("%v %+v %#v", i.Token, i.Token, i.Token)} {
		if strings.Contains(shown, secret) || strings.Contains(shown, fmt.Sprint(i.Token[:])) || !strings.Contains(shown, "<token>") {
			t.Errorf("%s shows the token", shown)
		}
	}
	_, err := join.Parse(i.Text() + "x")
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsNotWholeIsRefused(t *testing.T) {
	good := invitation("10.0.0.5:9901").Text()
	secret, _, _ := strings.Cut(good, "@")
	parts := strings.Split(secret, ".")
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":             {"", "begin with plimsoll1"},
		"another version":     {strings.Replace(good, "plimsoll1", "plimsoll2", 1), "begin with plimsoll1"},
		"no address":          {secret, "not of the form"},
		"no pin":              {parts[0] + "." + parts[1] + "@h:1", "not of the form"},
		"a short token":       {parts[0] + "." + parts[1][1:] + "." + parts[2] + "@h:1", "token is not whole"},
		"a short pin":         {parts[0] + "." + parts[1] + "." + parts[2][1:] + "@h:1", "pin is not whole"},
		"bits that mean none": {parts[0] + "." + parts[1][:26] + "_." + parts[2] + "@h:1", "token is not whole"},
		"a line in it":        {parts[0] + "." + parts[1] + "\n." + parts[2] + "@h:1", "token is not whole"},
		"no port":             {secret + "@host", "host:port"},
		"port 0":              {secret + "@host:0", "port from 1"},
		"a port by name":      {secret + "@host:grpc", "port from 1"},
		"a port with a sign":  {secret + "@host:+1", "port from 1"},
		"no host":             {secret + "@:1", "no host name"},
		"two addresses":       {secret + "@a@b:1", "no host name"},
		"a path":              {secret + "@a/b:1", "no host name"},
		"without end":         {good + strings.Repeat("x", 512), "bytes"},
	} {
		if _, err := join.Parse(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(invitation("10.0.0.5:9901").Text())
	f.Add(invitation("[::1]:9901").Text())
	f.Add("plimsoll1.a.b@c:1")
	f.Fuzz(func(t *testing.T, s string) {
		i, err := join.Parse(s)
		if err != nil {
			return
		}
		if i.Text() != strings.TrimSpace(s) {
			t.Errorf("%q was read as %q: two strings for one invitation", s, i.Text())
		}
	})
}
