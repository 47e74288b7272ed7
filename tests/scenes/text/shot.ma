//Maya ASCII 2023 scene
//Name: 030_light_v004.ma
//Last modified: Tue, Oct 10, 2023 05:43:50 PM
//Codeset: UTF-8
file -rdi 1 -ns "hero" -rfn "heroRN" -op "v=0;" -typ "mayaAscii" "/shows/dog/assets/hero/rig/hero_rig_v012.ma";
file -rdi 2 -ns "eyes" -rfn "hero:eyesRN" -op "v=0;" -typ "mayaAscii" "/shows/dog/assets/hero/rig/eyes_v003.ma";
file -rdi 1 -ns "set" -dr 1 -rfn "setRN" -op "v=0;p=17;f=0" -typ "mayaBinary"
		 "/shows/dog//scenes/set/kitchen_v002.mb";
file -r -ns "hero" -dr 1 -rfn "heroRN" -op "v=0;" -typ "mayaAscii" "/shows/dog/assets/hero/rig/hero_rig_v012.ma{1}";
file -r -ns "set" -dr 1 -rfn "setRN" -op "v=0;p=17;f=0" -typ "mayaBinary"
		 "/shows/dog//scenes/set/kitchen_v002.mb";
requires maya "2023";
requires -nodeType "aiStandIn" -nodeType "aiImage" "mtoa" "5.2.1";
currentUnit -l centimeter -a degree -t film;
fileInfo "application" "maya";
fileInfo "notes" "a \"quoted\" note; with createNode file -n \"no\";";
createNode transform -s -n "persp";
	rename -uid "D510BDC2-B44F-B2C0-AB90-A6A7466BDA9D";
	setAttr ".v" no;
	setAttr ".t" -type "double3" 11.870976059654966 -12.45875423685672 -19.009143701049737 ;
createNode mesh -n "heroShape" -p "hero";
	setAttr -k off ".v";
	setAttr -s 4 ".vt[0:3]"  -0.5 0 0.5 0.5 0 0.5 -0.5 0 -0.5
		 0.5 0 -0.5;
	setAttr -s 4 ".ed[0:3]"  0 1 0 0 2 0 1 3 0
		2 3 0;
createNode file -n "heroDiffuse";
	rename -uid "1A";
	setAttr ".ail" yes;
	setAttr ".ftn" -type "string" "/shows/dog/assets/hero/tex/v003/hero_diff.1001.exr";
	setAttr ".uvt" 3;
	setAttr ".uvm" 3;
	setAttr ".cs" -type "string" "ACEScg";
createNode file -n "screenMovie";
	setAttr ".ftn" -type "string" "sourceimages/screen/screen.0001.png";
	setAttr ".ufe" yes;
	setAttr ".fo" -1000;
createNode file -n "mud";
	setAttr ".ftn" -type "string" "mud_u1_v1.tif";
	setAttr ".uvt" 2;
createNode file -n "env";
	setAttr -av ".ftn" -type "string" "${HDRI_ROOT}/studio;small.hdr";
createNode file -n "explicit";
	setAttr ".ftn" -type "string" "/shows/dog/tex/a.exr";
	setAttr ".uvt" 4;
	setAttr -s 2 ".euvt";
	setAttr ".euvt[0].eutn" -type "string" "/shows/dog/tex/b.exr";
	setAttr ".euvt[0].eutu" 1;
createNode imagePlane -n "plateShape";
	setAttr ".imn" -type "string" "/shows/dog/030/plates/bg.1001.jpg";
	setAttr ".ufe" yes;
createNode AlembicNode -n "cacheNode";
	setAttr ".fn" -type "string" "/shows/dog/030/anim/hero.abc";
	setAttr ".fns" -type "stringArray" 2 "/shows/dog/030/anim/hero.abc" "/shows/dog/030/anim/hero_fix.abc"  ;
createNode gpuCache -n "bgCache";
	setAttr ".cfn" -type "string" "cache/alembic/bg.abc";
createNode aiStandIn -n "trees";
	setAttr ".dso" -type "string" "/shows/dog/assets/tree/tree.####.ass.gz";
createNode cacheFile -n "clothCache1";
	setAttr ".cn" -type "string" "clothShape1";
	setAttr ".cp" -type "string" "/shows/dog/030/cache/nCache/cloth";
createNode audio -n "dialog";
	setAttr ".f" -type "string" "/shows/dog/030/sound/030.wav";
createNode RedshiftProxyMesh -n "proxy";
	setAttr ".fileName" -type "string" "Z:/assets/rock.rs";
createNode script -n "uiConfig";
	setAttr ".b" -type "string" (
		"// Maya Mel UI Configuration File.\n"
		+ "global string $f = \"/not/this.exr\";\n");
select -ne :defaultColorMgtGlobals;
	setAttr ".cfe" yes;
	setAttr ".cfp" -type "string" "/shows/dog/config/ocio/config.ocio";
select -ne :defaultRenderGlobals;
	setAttr ".ifp" -type "string" "<Scene>/<RenderLayer>/beauty";
connectAttr "heroDiffuse.oc" "heroMat.base_color";
// End of 030_light_v004.ma
