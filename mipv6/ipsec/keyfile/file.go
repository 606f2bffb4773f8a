package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vanycast/vanycast/mipv6/ipsec"
)

// ErrMode: others than the owner can get at the file, or the owner is somebody else.
var ErrMode = errors.New("secret file is not safe")

// maxFile bounds what is read.
const maxFile = 64 << 10

// File is the key file of one pair; it is an ipsec.Store. Its path is that of the
// keys.
type File struct{ path string }

var _ ipsec.Store = (*File)(nil)

// Open reads the keys and the sequence numbers. A key file that is not there is
// one without keys; every error names the file.
func Open(path string) (*File, []ipsec.Generation, ipsec.Numbers, error) {
	f := &File{path}
	text, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil, nil, nil
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("keyfile: %w", err)
	}
	generations, err := Parse(text)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("keyfile: %s: %w", path, err)
	}
	numbers, err := f.readNumbers(generations)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("keyfile: %w", err)
	}
	return f, generations, numbers, nil
}

// SaveKeys implements ipsec.Store.
func (f *File) SaveKeys(generations []ipsec.Generation) error {
	return writeSecret(f.path, Format(generations))
}

// Write makes a new key file, and never replaces one: what is there may be in
// use.
func Write(path string, generations []ipsec.Generation) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keyfile: %w", err)
	}
	_, err = out.Write(Format(generations))
	return errors.Join(err, out.Sync(), out.Close())
}

// readSecret reads a file that only its owner may get at.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := check(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s: %w: longer than %d bytes", path, ErrFormat, maxFile)
	}
	return b, err
}

// check looks at the open file, so that nobody can change it for another.
func check(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is no regular file", ErrMode)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: its mode is %04o; others than the owner may not read or write it: chmod 600", ErrMode, mode)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: it belongs to user %d", ErrMode, s.Uid)
	}
	return nil
}

// writeSecret replaces a file so that after a crash there is the old or the new
// one, whole.
func writeSecret(path string, b []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
