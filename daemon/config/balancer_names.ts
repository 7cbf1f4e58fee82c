// SPDX-License-Identifier: Apache-2.0
/** The balancers that have a preset (balancers.ts). */

export const balancerNames = [
	'huawei-elb',
	'aliyun-slb',
	'aliyun-vtoa',
	'aliyun-cdn',
	'tencent-clb',
	'tencent-gaap',
	'ucloud-ulb',
	'dpvs',
	'lvs-fullnat',
	'ip-vs-ca',
] as const;

export type BalancerName = (typeof balancerNames)[number];
