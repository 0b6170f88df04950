package conf

// Nearest is the candidate that word is most likely a slip of, or "" if it
// resembles none: at most one letter in three may differ, and at least one may.
func Nearest(word string, candidates []string) string {
	best, least := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if d := distance(word, c, least); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is how many letters must be put in, left out, exchanged or swapped
// with their neighbour to turn a into b (optimal string alignment), or limit if
// that is less.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	d := make([][]int, len(a)+1) // d[i][j] is the distance from a[:i] to b[:j]
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range len(b) + 1 {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			exchange := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				exchange++
			}
			d[i][j] = min(exchange, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return min(d[len(a)][len(b)], limit)
}
