package httpapi

import (
	"strings"
	"testing"
)

type sessionList struct {
	Sessions []struct {
		ID        string `json:"id"`
		CreatedAt string `json:"created_at"`
		ExpiresAt string `json:"expires_at"`
		Current   bool   `json:"current"`
	} `json:"sessions"`
}

// sessions returns the list that token gets, and the place of its own session.
func (l *liveServer) sessions(token string) (list sessionList, current int) {
	l.t.Helper()
	l.get("/api/users/me/sessions", token, &list)
	current = -1
	for i, s := range list.Sessions {
		if strings.Contains(token, s.ID) {
			l.t.Errorf("the id %s is a part of the token", s.ID)
		}
		if s.Current {
			if current >= 0 {
				l.t.Error("two sessions are the current one")
			}
			current = i
		}
	}
	return list, current
}

func TestAUserSeesTheirSessionsAndEndsOneOrAllOthersForGood(t *testing.T) {
	dir := t.TempDir()
	l := startLive(t, dir, nil)
	_, first := l.login("aitbc1wallet_sessions")
	_, second := l.login("aitbc1wallet_sessions")
	_, third := l.login("aitbc1wallet_sessions")
	_, fourth := l.login("aitbc1wallet_sessions")
	_, stranger := l.login("aitbc1wallet_stranger")

	list, current := l.sessions(second)
	if len(list.Sessions) != 4 || current != 1 {
		t.Fatalf("there are %d sessions, the current one is %d", len(list.Sessions), current)
	}
	l.do("DELETE", "/api/users/me/sessions/"+list.Sessions[0].ID, stranger, "", 404)
	for _, id := range []string{"x", "0000000000000000", strings.Repeat("0", 64), "ZZZZZZZZZZZZZZZZ"} {
		l.do("DELETE", "/api/users/me/sessions/"+id, second, "", 404)
	}
	if _, answer := l.do("DELETE", "/api/users/me/sessions/"+list.Sessions[0].ID, second, "", 200); string(answer) != `{"ended":1}` {
		t.Errorf("the answer is %s", answer)
	}
	l.do("GET", "/api/users/me", first, "", 401)
	l.do("DELETE", "/api/users/me/sessions/"+list.Sessions[0].ID, second, "", 404)
	if _, answer := l.do("DELETE", "/api/users/me/sessions", second, "", 200); string(answer) != `{"ended":2}` {
		t.Errorf("the answer is %s", answer)
	}
	if _, answer := l.do("DELETE", "/api/users/me/sessions", second, "", 200); string(answer) != `{"ended":0}` {
		t.Errorf("with no other session the answer is %s", answer)
	}
	for range 2 { // at once, and after a restart
		for _, token := range []string{first, third, fourth} {
			l.do("GET", "/api/users/me", token, "", 401)
		}
		l.do("GET", "/api/users/me", stranger, "", 200)
		if list, current := l.sessions(second); len(list.Sessions) != 1 || current != 0 {
			t.Errorf("%d sessions are left", len(list.Sessions))
		}
		l.stop()
		l = startLive(t, dir, nil)
	}
	list, _ = l.sessions(second)
	l.do("DELETE", "/api/users/me/sessions/"+list.Sessions[0].ID, second, "", 200)
	l.do("GET", "/api/users/me", second, "", 401)
}
