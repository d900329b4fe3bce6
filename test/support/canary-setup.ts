import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writtenFolderVariable } from './canaries.ts'

/** Jest's globalSetup: makes the folder that the workers keep in what their gateways write. */
export default function setUp(): void {
  process.env[writtenFolderVariable] = mkdtempSync(join(tmpdir(), 'wharfgate-written-'))
}
