/**
 * The language server's own messages, as docs/protocol.md has them.
 */
import { NotificationType, RequestType } from 'vscode-languageclient/node';

export interface Engine {
    pid: number;
    name: string;
    exe: string;
    threads: number;
    updates: number;
    state: 'ready' | 'behind' | 'other-build' | 'unknown-updates';
}

export interface LastUpdate {
    result: string;
    message: string;
    functions: string[];
    reason: string;
    blockedBy: string;
    warnings?: string[];
    transfers?: string[];
}

/** A policy or validation that failed: the update was discarded. */
export interface Validation {
    title: string;
    file: string;
    line: number;
    instance: string;
    message: string;
    uri: string | null;
    row: number | null;
    program?: { name: string; pid: number };
    values: { member: string; old: string | null; new: string | null }[];
}

export interface Status {
    workspace: string;
    health: 'ok' | 'warning' | 'error';
    quiescent: boolean;
    message: string;
    phase: string;
    readOnly: boolean;
    pending: { count: number; revision: number; heldBack: boolean; unsaved: number; files: { uri: string; count: number }[] };
    held: string | null;
    engines: Engine[];
    canRollback: boolean;
    lastUpdate: LastUpdate | null;
    validation?: Validation | null;
}

export interface Change {
    kind: string;
    action: string;
    name: string;
    owner: string | null;
    uri: string;
    line: number | null;
    oldLine: number | null;
    evidence: string;
    confidence: number;
    declaration: string;
    diff: string;
}

/** A type of which instances live, as the update will change it. */
export interface TypeChange {
    name: string;
    newName: string;
    uri: string | null;
    line: number | null;
    reason: string;
    stops: string | null;
    invertible: boolean;
    whyNot: string | null;
    policy: { uri: string; line: number } | null;
    instances?: number | null;
    members: { name: string | null; from: string | null; how: string; source: string }[];
}

export interface Review {
    workspace: string;
    uri: string;
    text: string;
    changes: Change[];
    types?: TypeChange[];
    sites?: { unknown?: { file: string; line: number; function: string; reason: string }[] } | null;
}

export const statusNotification = new NotificationType<Status>('molt/status');
export const runningChanged = new NotificationType<{ workspace: string; uris: string[] }>('molt/runningChanged');
export const reviewRequest = new RequestType<{ workspace?: string }, Review, void>('molt/review');
export const runningRequest = new RequestType<{ textDocument: { uri: string } }, { text: string | null }, void>('molt/running');
