// Reads a compose file and a Dockerfile with the code that Docker reads them with, and prints what they say as JSON.
// A file that Docker would refuse, or warn about, ends it with that sentence.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/loader"
	"github.com/compose-spec/compose-go/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func readCompose(path string) (any, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	// The loader checks the file against the schema of the Compose specification, and then whether it is consistent.
	return loader.Load(types.ConfigDetails{
		WorkingDir:  filepath.Dir(path),
		ConfigFiles: []types.ConfigFile{{Filename: path, Content: data}},
		Environment: map[string]string{},
	})
}

func readDockerfile(path string) (any, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	read, err := parser.Parse(file)
	if err != nil {
		return nil, err
	}
	if len(read.Warnings) > 0 {
		return nil, fmt.Errorf("%s", read.Warnings[0].Short)
	}
	stages, _, err := instructions.Parse(read.AST)
	if err != nil {
		return nil, err
	}
	found := []map[string]any{}
	for _, stage := range stages {
		commands := []map[string]any{}
		for _, command := range stage.Commands {
			commands = append(commands, map[string]any{"name": command.Name(), "is": command})
		}
		found = append(found, map[string]any{"name": stage.Name, "base": stage.BaseName, "commands": commands})
	}
	return found, nil
}

func main() {
	read := map[string]func(string) (any, error){"compose": readCompose, "dockerfile": readDockerfile}[os.Args[1]]
	found, err := read(os.Args[2])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
