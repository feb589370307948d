/** Writes grafana/dashboards anew, from grafana/source. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dashboards, formatDashboard } from '../grafana/source/dashboards.ts'

const folder = join(import.meta.dirname, '../grafana/dashboards')

await mkdir(folder, { recursive: true })
for (const dashboard of dashboards) {
  await writeFile(join(folder, `${dashboard.uid}.json`), formatDashboard(dashboard))
}
