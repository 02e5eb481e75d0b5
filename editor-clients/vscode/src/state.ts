/**
 * What the server last said of each workspace. The views listen here and keep nothing of their own.
 */
import * as vscode from 'vscode';
import { Status } from './protocol';

const rank = { ok: 0, warning: 1, error: 2 };

export class State implements vscode.Disposable {
    private readonly statuses = new Map<string, Status>();
    private readonly changed = new vscode.EventEmitter<void>();
    readonly onDidChange = this.changed.event;
    active = false;

    set(status: Status): void {
        this.statuses.set(status.workspace, status);
        this.announce();
    }

    /** The server came or went. */
    setActive(active: boolean): void {
        this.active = active;
        if (!active) {
            this.statuses.clear();
        }
        this.announce();
    }

    all(): Status[] {
        return [...this.statuses.values()];
    }

    get pending(): number {
        return this.all().reduce((sum, status) => sum + status.pending.count, 0);
    }

    /** The one that needs the user's attention most. */
    worst(): Status | undefined {
        return this.all().sort((a, b) => rank[b.health] - rank[a.health] || b.pending.count - a.pending.count)[0];
    }

    private announce(): void {
        const set = (key: string, value: unknown) => vscode.commands.executeCommand('setContext', `molt.${key}`, value);
        const statuses = this.all();
        void set('active', this.active);
        void set('pending', this.pending > 0);
        void set('phase', this.worst()?.phase ?? '');
        void set('canRollback', statuses.some((status) => status.canRollback));
        this.changed.fire();
    }

    dispose(): void {
        this.changed.dispose();
    }
}
