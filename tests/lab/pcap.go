package lab

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// frame is one packet of a capture file.
type frame struct {
	number int // from 1, as tshark counts
	data   []byte
	cut    bool // longer on the wire
}

const (
	pcapMagic     = 0xa1b2c3d4 // microseconds, as tcpdump writes
	pcapEthernet  = 1          // LINKTYPE_ETHERNET
	pcapFileHead  = 24
	pcapFrameHead = 16
	pcapMaxFrame  = 1 << 18 // tcpdump's largest snapshot
)

// eachFrame reads a capture file of an Ethernet interface (pcap-savefile(5)).
func eachFrame(path string, visit func(frame) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	var head [pcapFileHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if binary.BigEndian.Uint32(head[:]) == pcapMagic {
		order = binary.BigEndian
	} else if order.Uint32(head[:]) != pcapMagic {
		return fmt.Errorf("%s: not a capture file of tcpdump", path)
	}
	if link := order.Uint32(head[20:]); link != pcapEthernet {
		return fmt.Errorf("%s: link type %d, not Ethernet", path, link)
	}
	for number := 1; ; number++ {
		var head [pcapFrameHead]byte
		if _, err := io.ReadFull(in, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: frame %d: %w", path, number, err)
		}
		kept, whole := order.Uint32(head[8:]), order.Uint32(head[12:])
		if kept > pcapMaxFrame {
			return fmt.Errorf("%s: frame %d: %d bytes", path, number, kept)
		}
		data := make([]byte, kept)
		if _, err := io.ReadFull(in, data); err != nil {
			return fmt.Errorf("%s: frame %d: %w", path, number, err)
		}
		if err := visit(frame{number, data, kept < whole}); err != nil {
			return err
		}
	}
}

// ethernetHeader is its length without a VLAN tag.
const ethernetHeader = 14

// Packets are the IPv6 packets that the capture, once stopped, has whole.
func (c *Capture) Packets() ([][]byte, error) {
	var all [][]byte
	err := eachFrame(c.path, func(f frame) error {
		if !f.cut && len(f.data) > ethernetHeader && binary.BigEndian.Uint16(f.data[12:]) == 0x86dd {
			all = append(all, f.data[ethernetHeader:])
		}
		return nil
	})
	return all, err
}
