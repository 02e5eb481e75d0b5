/**
 * The settings that the server reads. What the user left empty is not sent, so that molt.toml decides.
 */
import * as vscode from 'vscode';

export function serverSettings(): Record<string, unknown> {
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
    const settings = vscode.workspace.getConfiguration('molt', folder);
    const ret: Record<string, unknown> = {};
    for (const key of ['build', 'binaries', 'root', 'timeout', 'rehearse', 'instances', 'transferAfter', 'strict']) {
        const value = settings.get<unknown>(key);
        const empty = value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
        if (!empty) {
            ret[key] = value;
        }
    }
    const save = settings.get<string>('save');
    if (save && save !== 'default') {
        ret.save = save;
    }
    return ret;
}
