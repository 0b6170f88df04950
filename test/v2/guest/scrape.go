package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// who are the labels that say what a series belongs to, not what it is.
var who = []string{"id", "job", "image", "name", "container", "pod", "namespace"}

// scrape returns the agent's series by the cgroup they are of and by their name
// with the labels that tell them apart there: "container_fs_reads_total{device=/dev/ram0}".
func scrape(ctx context.Context, url string) (map[string]map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	all := make(map[string]map[string]float64)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		open, end := strings.IndexByte(line, '{'), strings.LastIndexByte(line, '}')
		if open < 0 || end < open || line[0] == '#' || !strings.HasPrefix(line, "container_") && !strings.HasPrefix(line, "plimsoll_container_") {
			continue
		}
		var of string
		var kept []string
		for pair := range strings.SplitSeq(line[open+1:end], ",") { // no value here has a comma
			name, value, _ := strings.Cut(pair, "=")
			value = strings.Trim(value, `"`)
			if name == "id" {
				of = value
			}
			if !slices.Contains(who, name) {
				kept = append(kept, name+"="+value)
			}
		}
		slices.Sort(kept)
		if all[of] == nil {
			all[of] = make(map[string]float64)
		}
		value, _, _ := strings.Cut(strings.TrimSpace(line[end+1:]), " ")
		all[of][line[:open]+"{"+strings.Join(kept, ",")+"}"] = number(value)
	}
	return all, lines.Err()
}
