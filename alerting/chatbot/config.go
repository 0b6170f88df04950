package chatbot

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	amcommoncfg "github.com/prometheus/alertmanager/config/common"
	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

// Config is an item of dingtalk_configs, feishu_configs or wecom_configs.
type Config struct {
	amcommoncfg.NotifierConfig `yaml:",inline"`

	// HTTPConfig is that of the file's global section if there is none.
	HTTPConfig *commoncfg.HTTPClientConfig `yaml:"http_config,omitempty"`

	// URL is the bot's webhook with its token, and so a secret. One of URL and
	// URLFile is needed.
	URL     commoncfg.Secret `yaml:"url,omitempty"`
	URLFile string           `yaml:"url_file,omitempty"`
	// Secret signs messages, if the bot wants that. A WeCom bot has none.
	Secret     commoncfg.Secret `yaml:"secret,omitempty"`
	SecretFile string           `yaml:"secret_file,omitempty"`

	// Title and Text are templates; by default they are in Language, "en" or
	// "zh". Format is one of those of the kind of bot.
	Title    string `yaml:"title,omitempty"`
	Text     string `yaml:"text,omitempty"`
	Language string `yaml:"language,omitempty"`
	Format   string `yaml:"format,omitempty"`

	Mention Mention `yaml:"mention,omitempty"`

	// Timeout is that of a request; 10 s by default, at most a minute.
	Timeout model.Duration `yaml:"timeout,omitempty"`
}

// Mention is who is mentioned in messages about what fires. Users and Mobiles
// are templates; each may give several names with commas between, or none.
type Mention struct {
	All     bool     `yaml:"all,omitempty"`
	Users   []string `yaml:"users,omitempty"`
	Mobiles []string `yaml:"mobiles,omitempty"`
}

// Default is a Config before a file is read into it.
func Default() Config {
	return Config{
		NotifierConfig: amcommoncfg.NotifierConfig{VSendResolved: true},
		Language:       "en",
		Timeout:        model.Duration(10 * time.Second),
	}
}

// Mistake is what is wrong with a Config.
type Mistake struct {
	Key  string // "mention.mobiles", or "" for the whole
	What string
	Hint string
}

// Kind is a kind of bot.
type Kind struct {
	Name    string   // "dingtalk"
	Formats []string // the default first
	Signed  bool     // whether its messages can be signed
	// New makes the protocol for a Config without mistakes and with a Format.
	New func(Config) Protocol
	// Check returns what else is wrong with a Config; it may be nil.
	Check func(Config) []Mistake
}

// Mistakes returns all that is wrong with c beyond the form of its YAML.
func (k Kind) Mistakes(c Config) []Mistake {
	var all []Mistake
	wrong := func(key, what, hint string) { all = append(all, Mistake{key, what, hint}) }
	switch {
	case c.URL == "" && c.URLFile == "":
		wrong("", "the URL of the bot is missing", "set url_file to a file that holds it, or url")
	case c.URL != "" && c.URLFile != "":
		wrong("url_file", "both url and url_file are set", "keep one of them")
	case c.URL != "" && parse(string(c.URL)) == nil:
		wrong("url", "is no URL of a bot", "copy the webhook address that the chat shows for the bot")
	}
	switch {
	case !k.Signed && (c.Secret != "" || c.SecretFile != ""):
		key := "secret"
		if c.Secret == "" {
			key = "secret_file"
		}
		wrong(key, "a "+k.Name+" bot has no secret", "remove it; its URL is all that is secret")
	case c.Secret != "" && c.SecretFile != "":
		wrong("secret_file", "both secret and secret_file are set", "keep one of them")
	}
	if c.Language != "en" && c.Language != "zh" {
		wrong("language", "there is no language "+strconv.Quote(c.Language), "use en or zh, or write title and text yourself")
	}
	if c.Format != "" && !slices.Contains(k.Formats, c.Format) {
		wrong("format", "there is no format "+strconv.Quote(c.Format), "use "+strings.Join(k.Formats, " or "))
	}
	if c.Timeout <= 0 || time.Duration(c.Timeout) > time.Minute {
		wrong("timeout", "must be above 0 and at most 1m, got "+c.Timeout.String(), "")
	}
	if k.Check != nil {
		c.Format = cmp.Or(c.Format, k.Formats[0])
		all = append(all, k.Check(c)...)
	}
	return all
}

// SetDirectory makes relative names of files those of files in dir.
func (c *Config) SetDirectory(dir string) {
	c.HTTPConfig.SetDirectory(dir)
	c.URLFile = commoncfg.JoinDir(dir, c.URLFile)
	c.SecretFile = commoncfg.JoinDir(dir, c.SecretFile)
}

// target is the URL and the secret as they are now.
func (c *Config) target() (url.URL, string, error) {
	text, err := read(c.URLFile, "url_file")
	if err != nil {
		return url.URL{}, "", err
	}
	at := parse(cmp.Or(string(c.URL), text))
	if at == nil {
		return url.URL{}, "", fmt.Errorf("url_file %s holds no URL; put the bot's webhook address into it", c.URLFile)
	}
	secret, err := read(c.SecretFile, "secret_file")
	if err != nil {
		return url.URL{}, "", err
	}
	return *at, cmp.Or(string(c.Secret), secret), nil
}

// parse is the URL that text is, or nil. The error would quote a secret.
func parse(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	return u
}

// read is what a file holds, or "" if there is none to read.
func read(file, key string) (string, error) {
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", fmt.Errorf("%s %s is empty", key, file)
	}
	return text, nil
}
