/** The page `docs/reference/commands.md`: what every command says of itself with `--help`. */
import { createProgram } from '../src/cli/program.ts'

type Command = ReturnType<typeof createProgram>

const helpWidth = 100

export function commandsReference(): string {
  const sections = sectionsOf(createProgram('0.0.0'), '')
  return `# Commands

<!-- Generated from the commands in src/cli by \`npm run generate\`; edit the sentences there. -->

What each command prints with \`--help\`. From the source tree \`npm run wharfgate -- COMMAND\` runs the same commands on the
pinned Node.

${sections.join('\n')}`
}

/** A command, then those below it. */
function sectionsOf(command: Command, above: string): readonly string[] {
  const name = `${above}${command.name()}`
  const section = `## ${name}\n\n\`\`\`text\n${helpOf(command).trimEnd()}\n\`\`\`\n`
  return [section, ...command.commands.flatMap((below) => sectionsOf(below, `${name} `))]
}

function helpOf(command: Command): string {
  let help = ''
  const writeOut = (text: string): void => {
    help += text
  }
  command.configureOutput({ writeOut, getOutHelpWidth: () => helpWidth, getOutHasColors: () => false }).outputHelp()
  return help
}
