/** The tree of commands: names, options, help. What a command does stands in a file of its own, loaded when it is called. */
import { Argument, Command, InvalidArgumentError, Option } from 'commander';

import { parseListenAddress, parseResolver } from '../platform/pure/endpoint.ts';
import type { Endpoint } from '../platform/pure/endpoint.ts';
import { completionScript, SHELLS } from './completion.ts';
import type { Shell } from './completion.ts';
import type { ExplainFlags } from './explain.ts';
import { parseLabels, parseRate } from './option-values.ts';
import type { RunFlags } from './run.ts';
import type { OutputFormat, Terminal } from './terminal.ts';

const EXAMPLES = `
Examples:
  See what a command reaches, blocking nothing:
    sallyport run --on-violation Notify -- npm install
  Let it reach only what a policy allows:
    sallyport run --policy policy.yaml -- npm install
  Try a policy without enforcing it, and keep the records:
    sallyport run --policy policy.yaml --on-violation Notify --log access.jsonl -- make test
  Let it reach nothing at all:
    sallyport run --on-violation Block -- ./untrusted.sh
  Ask beforehand, and afterwards:
    sallyport explain --policy policy.yaml https://api.example.com/
    sallyport why k3v9u2ap-1f --log access.jsonl

A policy:
    apiVersion: sallyport.dev/v1alpha1
    kind: SecurityPolicy
    metadata: {name: build}
    spec:
      podSelector: {}
      default: Deny
      allow:
      - tls: {hosts: ["*.example.com"]}
`;

const RUN_HELP = `
Everything after the first word that is not an option belongs to the command; a -- before it may be left out.
The exit status is the command's own; docs/exit-codes.md lists those of Sallyport itself.

Examples:
  sallyport run --policy policy.yaml -- curl https://api.example.com/
  sallyport run --policy base.yaml --policy team.yaml --log - -- pytest
  sallyport run --on-violation Notify --metrics 127.0.0.1:9090 -- ./server
  sallyport run --policy policy.yaml --labels app=checkout -- ./checkout
`;

const EXPLAIN_HELP = `
The target is a URL, or HOST:PORT. https is judged by its server name, as nothing is decrypted; without --address a host is
taken to have a public address. The exit status is 0 where the access would go through, 1 where it would be denied.

Examples:
  sallyport explain --policy policy.yaml http://api.example.com/v1/orders --method POST
  sallyport explain --policy policy.yaml db.example.com:5432 --address 10.20.0.7
  sallyport explain --policy policy.yaml --class dns evil.example
  sallyport explain --policy policy.yaml udp://198.51.100.7:123
`;

const COMPLETION_HELP = `
Examples:
  source <(sallyport completion bash)
  sallyport completion zsh > "\${fpath[1]}/_sallyport"
  sallyport completion fish > ~/.config/fish/completions/sallyport.fish
`;

/** `finish` is given the exit status of the command that was called. */
export function buildProgram(terminal: Terminal, finish: (status: number) => void): Command {
  const program = new Command('sallyport')
    .description('An egress firewall: every connection of a command is judged against a policy before it leaves.')
    .version(terminal.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .enablePositionalOptions()
    .showHelpAfterError('Try --help.')
    .configureOutput({
      writeOut: terminal.stdout,
      writeErr: terminal.stderr,
      outputError: (text, write) => {
        write(text.replace(/^error: /, 'sallyport: '));
      },
      getOutHelpWidth: () => terminal.columns ?? 100,
      getErrHelpWidth: () => terminal.columns ?? 100,
    })
    .exitOverride()
    .addHelpText('after', EXAMPLES);

  program
    .command('run')
    .summary('run a command behind the firewall')
    .description('Run a command behind the firewall: all its connections, and those of what it starts, are judged.')
    .argument('<command...>', 'the command and its arguments')
    .addOption(policyOption())
    .addOption(
      new Option(
        '--on-violation <action>',
        'Notify: block nothing, report; Block: enforce; for all the policies',
      ).choices(['Block', 'Notify']),
    )
    .option('--log <FILE>', 'append one JSON record for each verdict; - is standard output')
    .addOption(
      valueOption(
        '--log-allowed <RATE>',
        'share of the allowed accesses to record, 0 to 1',
        parseRate,
        'a number from 0 to 1',
      ).default(1),
    )
    .addOption(
      valueOption(
        '--metrics <ADDR>',
        'serve Prometheus metrics at an address like 127.0.0.1:9090',
        parseListenAddress,
        'an address with a port, like 127.0.0.1:9090, [::1]:9090 or :9090',
      ),
    )
    .addOption(
      listOption(
        '--resolver <ADDR[:PORT]>',
        "resolver to ask instead of the host's; may be repeated",
        parseResolver,
        'an IP address, with a port where it is not 53, like 192.0.2.53 or [2001:db8::53]:5353',
      ),
    )
    .addOption(labelsOption())
    .option('--allow-socket <PATH>', 'leave this Unix socket visible to the command; may be repeated', collect)
    .addOption(
      new Option('--summary <when>', 'the summary on exit')
        .choices(['auto', 'always', 'never'])
        .default('auto', 'auto: on a terminal, or when something was denied'),
    )
    .addOption(outputOption())
    .passThroughOptions()
    .addHelpText('after', RUN_HELP)
    .action(async (command: string[], flags: RunFlags) => {
      const { run } = await import('./run.ts');
      finish(await run(command, flags, terminal));
    });

  program
    .command('validate')
    .summary('check policy files')
    .description('Check policy files, and say where and what is wrong in them, and what to do.')
    .argument('<files...>', 'policy files, YAML or JSON; - is standard input')
    .addOption(outputOption())
    .addHelpText('after', '\nThe exit status is 0 where all are valid, 65 where one is not.\n')
    .action(async (files: string[], flags: { readonly output: OutputFormat }) => {
      const { validate } = await import('./validate.ts');
      finish(await validate(files, flags.output, terminal));
    });

  program
    .command('explain')
    .summary('say whether a policy would allow an access, and why')
    .description('Say whether an access would be allowed, by which rule, and if not, why not and what rule to add.')
    .argument('<target>', 'a URL, or HOST:PORT')
    .addOption(policyOption().makeOptionMandatory())
    .addOption(
      new Option('--class <name>', 'what the access is, where the target does not say').choices([
        'tcp',
        'tls',
        'http',
        'websocket',
        'udp',
        'dns',
        'quic',
        'icmp',
      ]),
    )
    .option('--method <NAME>', 'HTTP method', 'GET')
    .option('--type <NAME>', 'DNS record type', 'A')
    .option('--address <IP>', 'address that the host has')
    .option('--port <PORT>', 'port, where the target has none')
    .addOption(labelsOption())
    .addOption(outputOption())
    .addHelpText('after', EXPLAIN_HELP)
    .action(async (target: string, flags: ExplainFlags) => {
      const { explain } = await import('./explain.ts');
      finish(await explain(target, flags, terminal));
    });

  program
    .command('why')
    .summary('say why an access was denied, by the id in its denial')
    .description('Tell the story of one decision, by the id that stands in the denial and in the record.')
    .argument('<id>', 'decision id, like k3v9u2ap-1f')
    .requiredOption('--log <FILE>', 'the file that `sallyport run --log FILE` wrote')
    .addOption(outputOption())
    .action(async (id: string, flags: { readonly log: string; readonly output: OutputFormat }) => {
      const { why } = await import('./why.ts');
      finish(await why(id, flags.log, flags.output, terminal));
    });

  program
    .command('completion')
    .summary('print a completion script for a shell')
    .description('Print a script that completes the commands and options of sallyport in a shell.')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .addHelpText('after', COMPLETION_HELP)
    .action((shell: Shell) => {
      terminal.stdout(completionScript(program, shell));
      finish(0);
    });

  return program;
}

function policyOption(): Option {
  return new Option('-p, --policy <FILE>', 'policy file, YAML or JSON; may be repeated').argParser(collect);
}

function outputOption(): Option {
  return new Option('--output <format>', 'how results and failures are printed')
    .choices(['text', 'json'])
    .default('text');
}

function labelsOption(): Option {
  return valueOption(
    '--labels <k=v,...>',
    'labels that podSelector is matched with',
    parseLabels,
    'labels like app=checkout,tier=web',
  );
}

function collect(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), value];
}

function valueOption(flags: string, description: string, parse: (text: string) => unknown, wanted: string): Option {
  return new Option(flags, description).argParser((text) => parseOrThrow(text, parse, wanted));
}

function listOption(
  flags: string,
  description: string,
  parse: (text: string) => Endpoint | undefined,
  wanted: string,
): Option {
  return new Option(flags, description).argParser((text, earlier: readonly Endpoint[] | undefined) => [
    ...(earlier ?? []),
    parseOrThrow(text, parse, wanted),
  ]);
}

function parseOrThrow<T>(text: string, parse: (text: string) => T | undefined, wanted: string): T {
  const value = parse(text);
  if (value === undefined) throw new InvalidArgumentError(`Write ${wanted}.`);
  return value;
}
