/** Shell completion, written from the tree of commands, so that it never says what the program does not. */
import type { Command, Option } from 'commander';

export type Shell = 'bash' | 'zsh' | 'fish';
export const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];

interface CommandWords {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionWords[];
  /** Values of the first argument. */
  readonly choices: readonly string[];
}

interface OptionWords {
  readonly long: string;
  readonly short: string | undefined;
  readonly description: string;
  readonly takes: 'nothing' | 'file' | 'text' | readonly string[];
}

export function completionScript(program: Command, shell: Shell): string {
  const commands = program.commands.map(wordsOf);
  switch (shell) {
    case 'bash':
      return bash(commands);
    case 'zsh':
      return zsh(commands);
    case 'fish':
      return fish(commands);
  }
}

function wordsOf(command: Command): CommandWords {
  const options = command.createHelp().visibleOptions(command).map(optionWords);
  return {
    name: command.name(),
    description: command.summary() === '' ? command.description() : command.summary(),
    options: options.filter((option) => option !== undefined),
    choices: command.registeredArguments[0]?.argChoices ?? [],
  };
}

function optionWords(option: Option): OptionWords | undefined {
  if (option.long === undefined) return undefined;
  const value = /[<[](.+?)(?:\.\.\.)?[>\]]/.exec(option.flags)?.[1];
  const takes = option.argChoices ?? (value === undefined ? 'nothing' : /FILE|PATH/.test(value) ? 'file' : 'text');
  return { long: option.long, short: option.short, description: option.description, takes };
}

function bash(commands: readonly CommandWords[]): string {
  const names = commands.map((command) => command.name).join(' ');
  const cases = commands.map((command) => {
    const values = command.options
      .filter((option) => option.takes !== 'nothing')
      .map((option) => `        ${namesOf(option).join('|')}) ${bashValues(option)}; return ;;\n`)
      .join('');
    const words = command.options.map((option) => option.long).join(' ');
    const rest =
      command.choices.length > 0
        ? `COMPREPLY=($(compgen -W '${command.choices.join(' ')}' -- "$current"))`
        : command.name === 'run'
          ? '_sallyport_behind "$COMP_CWORD"'
          : 'COMPREPLY=($(compgen -f -- "$current"))';
    return `    ${command.name})\n      case "$previous" in\n${values}      esac\n      if [[ $current == -* ]]; then COMPREPLY=($(compgen -W '${words}' -- "$current")); else ${rest}; fi\n      ;;\n`;
  });
  // the command behind `run` is completed as if it stood alone
  return `_sallyport() {
  local current previous command='' index word takes
  current=\${COMP_WORDS[COMP_CWORD]}
  previous=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    if [[ -z $command ]]; then
      [[ $word != -* ]] && command=$word
      continue
    fi
    if [[ $command == run ]]; then
      if [[ $word == -- ]]; then _sallyport_behind $((index + 1)); return; fi
      case "$word" in
        ${takers(commands)}) index=$((index + 1)) ;;
        -*) ;;
        *) _sallyport_behind "$index"; return ;;
      esac
    fi
  done
  case "$command" in
    '') COMPREPLY=($(compgen -W '${names} --help --version' -- "$current")) ;;
${cases.join('')}  esac
}
_sallyport_behind() {
  if declare -F _comp_command_offset >/dev/null; then _comp_command_offset "$1"
  elif declare -F _command_offset >/dev/null; then _command_offset "$1"
  elif ((COMP_CWORD == $1)); then COMPREPLY=($(compgen -c -- "\${COMP_WORDS[COMP_CWORD]}"))
  else COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")); fi
}
complete -o filenames -o bashdefault -F _sallyport sallyport
`;
}

function takers(commands: readonly CommandWords[]): string {
  const run = commands.find((command) => command.name === 'run');
  return (run?.options ?? [])
    .filter((option) => option.takes !== 'nothing')
    .flatMap(namesOf)
    .join('|');
}

function namesOf(option: OptionWords): readonly string[] {
  return option.short === undefined ? [option.long] : [option.short, option.long];
}

function bashValues(option: OptionWords): string {
  if (option.takes === 'file') return 'COMPREPLY=($(compgen -f -- "$current"))';
  return typeof option.takes === 'string'
    ? 'COMPREPLY=()'
    : `COMPREPLY=($(compgen -W '${option.takes.join(' ')}' -- "$current"))`;
}

function zsh(commands: readonly CommandWords[]): string {
  const described = commands.map((command) => `    ${quoted(`${command.name}:${command.description}`)}\n`).join('');
  const cases = commands.map((command) => {
    const specs = command.options.map((option) => `        ${quoted(zshSpec(option))} \\\n`).join('');
    const rest =
      command.choices.length > 0
        ? `1:value:(${command.choices.join(' ')})`
        : command.name === 'run'
          ? '*::command:_normal'
          : '*:file:_files';
    return `    ${command.name})\n      _arguments -S \\\n${specs}        ${quoted(rest)}\n      ;;\n`;
  });
  return `#compdef sallyport
_sallyport() {
  local -a subcommands
  subcommands=(
${described}  )
  if ((CURRENT == 2)); then
    _describe command subcommands
    return
  fi
  local subcommand=$words[2]
  shift words
  ((CURRENT--))
  case $subcommand in
${cases.join('')}  esac
}
if [[ $funcstack[1] == _sallyport ]]; then _sallyport "$@"; else compdef _sallyport sallyport; fi
`;
}

function zshSpec(option: OptionWords): string {
  const description = option.description.replaceAll(/[[\]:\\]/g, '\\$&');
  if (option.takes === 'nothing') return `${option.long}[${description}]`;
  const values = option.takes === 'file' ? '_files' : option.takes === 'text' ? ' ' : `(${option.takes.join(' ')})`;
  return `*${option.long}=[${description}]:value:${values}`;
}

function fish(commands: readonly CommandWords[]): string {
  const lines = ['complete -c sallyport -f'];
  for (const command of commands) {
    lines.push(`complete -c sallyport -n __fish_use_subcommand -a ${command.name} -d ${quoted(command.description)}`);
    const within = `complete -c sallyport -n '__fish_seen_subcommand_from ${command.name}'`;
    for (const option of command.options) {
      const values =
        option.takes === 'nothing'
          ? ''
          : option.takes === 'file'
            ? ' -r -F'
            : option.takes === 'text'
              ? ' -x'
              : ` -x -a ${quoted(option.takes.join(' '))}`;
      lines.push(`${within} -l ${option.long.slice(2)} -d ${quoted(option.description)}${values}`);
    }
    if (command.choices.length > 0) lines.push(`${within} -a ${quoted(command.choices.join(' '))}`);
    else if (command.name === 'run') lines.push(`${within} -a '(__fish_complete_subcommand --fcs-skip=2)'`);
    else lines.push(`${within} -F`);
  }
  return `${lines.join('\n')}\n`;
}

/** A quote ends the quoting, stands escaped, and begins it again: so in all three shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
