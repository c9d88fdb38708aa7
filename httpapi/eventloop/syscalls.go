package eventloop

import "golang.org/x/sys/unix"

// epollWait returns how many events there are, without waiting.
func epollWait(fd uintptr, events []unix.EpollEvent) int {
	n, err := unix.EpollWait(int(fd), events, 0)
	if err != nil {
		return 0
	}
	return n
}

func recv(fd int, b []byte) (int, error) { return unix.Read(fd, b) }

func send(fd int, b []byte) (int, error) { return unix.Write(fd, b) }
