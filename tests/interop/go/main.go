// A second implementation's verdict on our logs: Go's checksum database code (golang.org/x/mod/sumdb) over C2SP files.
//
// Reads one request a line (JSON) from standard input and answers each with one line: {"ok": true, …} or {"error": "…"}.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight     = 8
	tileWidth      = 1 << tileHeight
	cosignature    = 4
	maxRequestSize = 64 << 20
)

type request struct {
	Op        string   `json:"op"`
	Log       string   `json:"log"`       // the log's key
	Witnesses []string `json:"witnesses"` // keys
	Need      int      `json:"need"`      // of the witnesses
	Dir       string   `json:"dir"`
	Text      []byte   `json:"text"` // a checkpoint or a proof file, in base64
	Index     int64    `json:"index"`
	Old       int64    `json:"old"`
	Size      int64    `json:"size"`
	Leaf      string   `json:"leaf"` // hashes in hex
	OldRoot   string   `json:"old_root"`
	Root      string   `json:"root"`
	Path      []string `json:"path"`
}

type answer struct {
	OK       bool     `json:"ok"`
	Error    string   `json:"error,omitempty"`
	Size     int64    `json:"size"`
	Root     string   `json:"root,omitempty"`
	Cosigned int      `json:"cosigned"`
	Path     []string `json:"path,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxRequestSize)
	out := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		var asked request
		told, err := answer{}, json.Unmarshal(lines.Bytes(), &asked)
		if err == nil {
			told, err = judge(asked)
		}
		if err != nil {
			told = answer{Error: err.Error()}
		}
		told.OK = err == nil
		line, _ := json.Marshal(told)
		fmt.Fprintf(out, "%s\n", line)
		out.Flush()
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func judge(asked request) (answer, error) {
	switch asked.Op {
	case "checkpoint":
		tree, cosigned, err := openCheckpoint(asked.Text, asked)
		return answer{Size: tree.N, Root: hex.EncodeToString(tree.Hash[:]), Cosigned: cosigned}, err
	case "inclusion":
		return answer{}, checkInclusion(asked)
	case "consistency":
		return answer{}, checkConsistency(asked)
	case "proof":
		return answer{}, checkProof(asked)
	case "log":
		return checkLog(asked)
	case "prove-inclusion", "prove-consistency":
		return prove(asked)
	}
	return answer{}, fmt.Errorf("unknown op %q", asked.Op)
}

// witness is a note.Verifier for cosignature/v1, which the note package does not know.
type witness struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.id }

func (w witness) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(signature))
	return ed25519.Verify(w.key, append([]byte(head), text...), signature[8:])
}

func newWitness(text string) (witness, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return witness{}, errors.New("a witness's key has three parts")
	}
	material, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(material) != 1+ed25519.PublicKeySize || material[0] != cosignature {
		return witness{}, errors.New("not a key for cosignatures")
	}
	sum := sha256.Sum256([]byte(parts[0] + "\n" + string(material)))
	id := binary.BigEndian.Uint32(sum[:])
	if fmt.Sprintf("%08x", id) != parts[1] {
		return witness{}, errors.New("a key whose id is not its own")
	}
	return witness{parts[0], id, material[1:]}, nil
}

func openCheckpoint(data []byte, asked request) (tlog.Tree, int, error) {
	log, err := note.NewVerifier(asked.Log)
	if err != nil {
		return tlog.Tree{}, 0, err
	}
	known := []note.Verifier{log}
	for _, text := range asked.Witnesses {
		w, err := newWitness(text)
		if err != nil {
			return tlog.Tree{}, 0, err
		}
		known = append(known, w)
	}
	opened, err := note.Open(data, note.VerifierList(known...))
	if err != nil {
		return tlog.Tree{}, 0, err
	}
	signed, cosigned := false, 0
	for _, signature := range opened.Sigs {
		// The note package takes any bits after the last byte.
		if _, err := base64.StdEncoding.Strict().DecodeString(signature.Base64); err != nil {
			return tlog.Tree{}, 0, err
		}
		if signature.Name == log.Name() && signature.Hash == log.KeyHash() {
			signed = true
		} else {
			cosigned++
		}
	}
	if !signed {
		return tlog.Tree{}, 0, errors.New("not signed by the log")
	}
	if cosigned < asked.Need {
		return tlog.Tree{}, 0, fmt.Errorf("%d cosigners where %d are wanted", cosigned, asked.Need)
	}
	tree, err := parseCheckpoint(opened.Text, log.Name())
	return tree, cosigned, err
}

func parseCheckpoint(text, origin string) (tlog.Tree, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != origin {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, errors.New("no size")
	}
	root, err := parseBase64(lines[2])
	if err != nil {
		return tlog.Tree{}, err
	}
	return tlog.Tree{N: size, Hash: root}, nil
}

func parseBase64(text string) (tlog.Hash, error) {
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(data) != tlog.HashSize {
		return tlog.Hash{}, errors.New("not a hash in base64")
	}
	return tlog.Hash(*(*[tlog.HashSize]byte)(data)), nil
}

func parseHex(text string) (tlog.Hash, error) {
	data, err := hex.DecodeString(text)
	if err != nil || len(data) != tlog.HashSize {
		return tlog.Hash{}, errors.New("not a hash in hex")
	}
	return tlog.Hash(*(*[tlog.HashSize]byte)(data)), nil
}

func parsePath(texts []string, parse func(string) (tlog.Hash, error)) ([]tlog.Hash, error) {
	path := []tlog.Hash{}
	for _, text := range texts {
		hash, err := parse(text)
		if err != nil {
			return nil, err
		}
		path = append(path, hash)
	}
	return path, nil
}

func checkInclusion(asked request) error {
	path, err := parsePath(asked.Path, parseHex)
	if err != nil {
		return err
	}
	leaf, err := parseHex(asked.Leaf)
	if err != nil {
		return err
	}
	root, err := parseHex(asked.Root)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, asked.Size, root, asked.Index, leaf)
}

func checkConsistency(asked request) error {
	path, err := parsePath(asked.Path, parseHex)
	if err != nil {
		return err
	}
	old, err := parseHex(asked.OldRoot)
	if err != nil {
		return err
	}
	root, err := parseHex(asked.Root)
	if err != nil {
		return err
	}
	return tlog.CheckTree(path, asked.Size, root, asked.Old, old)
}

// checkProof judges a C2SP tlog-proof file whose extra data is the entry.
func checkProof(asked request) error {
	head, checkpoint, found := bytes.Cut(asked.Text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a proof file")
	}
	if !strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		return errors.New("no extra or no index")
	}
	entry, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return err
	}
	text := strings.TrimPrefix(lines[2], "index ")
	index, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(index, 10) != text {
		return errors.New("no index")
	}
	path, err := parsePath(lines[3:], parseBase64)
	if err != nil {
		return err
	}
	tree, _, err := openCheckpoint(checkpoint, asked)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

// folder reads C2SP tiles, whose paths leave out the height.
type folder struct{ dir string }

func (f folder) Height() int { return tileHeight }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight), "tile/", 1)
		data, err := os.ReadFile(filepath.Join(f.dir, path))
		if err != nil {
			return nil, err
		}
		if len(data) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes", path, len(data))
		}
		all = append(all, data)
	}
	return all, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

// checkLog hashes every entry of an exported log and asks the tiles, which are checked against the head, for the same hash.
func checkLog(asked request) (answer, error) {
	checkpoint, err := os.ReadFile(filepath.Join(asked.Dir, "checkpoint"))
	if err != nil {
		return answer{}, err
	}
	tree, cosigned, err := openCheckpoint(checkpoint, asked)
	if err != nil {
		return answer{}, err
	}
	reader := tlog.TileHashReader(tree, folder{asked.Dir})
	for first := int64(0); first < tree.N; first += tileWidth {
		entries, err := readBundle(asked.Dir, first/tileWidth, tree.N)
		if err != nil {
			return answer{}, err
		}
		var indexes []int64
		for n := range entries {
			indexes = append(indexes, tlog.StoredHashIndex(0, first+int64(n)))
		}
		hashes, err := reader.ReadHashes(indexes)
		if err != nil {
			return answer{}, err
		}
		for n, entry := range entries {
			if tlog.RecordHash(entry) != hashes[n] {
				return answer{}, fmt.Errorf("entry %d is not the one in its tile", first+int64(n))
			}
		}
	}
	return answer{Size: tree.N, Root: hex.EncodeToString(tree.Hash[:]), Cosigned: cosigned}, nil
}

func readBundle(dir string, number, size int64) ([][]byte, error) {
	width := size - number*tileWidth
	if width > tileWidth {
		width = tileWidth
	}
	// The path of a bundle is that of the tile of level 0, under "entries".
	tile := tlog.Tile{H: tileHeight, L: 0, N: number, W: int(width)}
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/0/", tileHeight), "tile/entries/", 1)
	data, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for int64(len(entries)) < width {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("%s is cut", path)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries, data = append(entries, data[2:end]), data[end:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%s is too long", path)
	}
	return entries, nil
}

func prove(asked request) (answer, error) {
	root, err := parseHex(asked.Root)
	if err != nil {
		return answer{}, err
	}
	reader := tlog.TileHashReader(tlog.Tree{N: asked.Size, Hash: root}, folder{asked.Dir})
	var path []tlog.Hash
	if asked.Op == "prove-inclusion" {
		path, err = tlog.ProveRecord(asked.Size, asked.Index, reader)
	} else {
		path, err = tlog.ProveTree(asked.Size, asked.Old, reader)
	}
	told := answer{Path: []string{}}
	for _, hash := range path {
		told.Path = append(told.Path, hex.EncodeToString(hash[:]))
	}
	return told, err
}
