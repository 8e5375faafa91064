// client KIND HOST PORT TEXT ...: one access for each four arguments, one line of JSON for each.
package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

type answer struct {
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	Error  string `json:"error,omitempty"`
}

func ask(kind, host, port, text string) answer {
	address := net.JoinHostPort(host, port)
	if kind == "http" || kind == "https" {
		client := http.Client{Timeout: 8 * time.Second}
		response, err := client.Get(kind + "://" + address + text)
		if err != nil {
			return answer{Error: err.Error()}
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != 200 {
			return answer{Status: response.StatusCode, Body: string(body)}
		}
		return answer{Body: string(body)}
	}
	connection, err := net.DialTimeout(kind, address, 8*time.Second)
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err = connection.Write([]byte(text)); err != nil {
		return answer{Error: err.Error()}
	}
	buffer := make([]byte, 1024)
	count, err := connection.Read(buffer)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Body: string(buffer[:count])}
}

func main() {
	encoder := json.NewEncoder(os.Stdout)
	for words := os.Args[1:]; len(words) >= 4; words = words[4:] {
		_ = encoder.Encode(ask(words[0], words[1], words[2], words[3]))
	}
}
